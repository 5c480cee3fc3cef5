import type { DeliveryState } from '../delivering/delivery.js';
import {
  FIRST_LINE,
  type HaltedLine,
  type LineCursor,
  type LinesLook,
  type LineStore,
  type Promoted,
  type PromotedEvent,
} from './line-store.js';

export interface PromoterHooks {
  /** Deliveries of these events can be claimed. */
  readonly onPromoted: (events: readonly PromotedEvent[], foundBy: 'told' | 'sweep') => void;
  /** A delivery was given up, and its line waits for somebody. */
  readonly onHalted: (line: HaltedLine) => void;
  readonly onFailed: (error: unknown) => void;
}

/** Lines, or events, of one statement. */
const BATCH = 500;

/**
 * Lets the next delivery of a line have its turn.
 *
 * - Told by whoever has done something to a line, when that is committed: a producer has added to it, a relay has settled its head. What is told while
 *   a look runs shares the next one.
 * - A relay also goes round all lines in which something waits, a page a second, and so finds what nobody lived to tell: whoever dies between a
 *   commit and this costs a moment and not the order.
 */
export class Promoter {
  /** In which something waits for somebody to replay or to abandon what was given up, by the last full round; undefined before it. */
  haltedLines: number | undefined;
  private readonly lines = new Set<string>();
  private readonly outboxIds = new Set<string>();
  private readonly givenUp = new Set<string>();
  private after = FIRST_LINE;
  private haltedInRound = 0;
  private current: Promise<void> | undefined;
  private isRoundWanted = false;
  private isStopped = false;

  constructor(
    private readonly store: LineStore,
    private readonly hooks: PromoterHooks,
  ) {}

  /** Events were committed, of which some may stand in lines. */
  committed(outboxIds: Iterable<string>): void {
    for (const outboxId of outboxIds) this.outboxIds.add(outboxId);
    this.run();
  }

  /** An outcome of a delivery was written, which may have had its turn in a line. */
  settled(lineId: string | null, state: DeliveryState): void {
    if (lineId === null || state === 'ready') return;
    this.lines.add(lineId);
    if (state !== 'delivered') this.givenUp.add(lineId);
    this.run();
  }

  /** Somebody has done something to lines, of which this does not know which. */
  lookForAll(): void {
    this.isRoundWanted = true;
    this.run();
  }

  /** The next page of lines in which something waits, where anything does at all. Never rejects. */
  async sweep(isAnyQueued: boolean): Promise<void> {
    if (!isAnyQueued) return this.goOn({ events: [], halted: [], next: undefined });
    try {
      this.goOn(await this.store.sweep(this.after));
    } catch (error) {
      this.failed(error);
    }
  }

  /** Resolves when all that was told has been looked at. */
  async idle(): Promise<void> {
    await this.current;
  }

  /** Forgets what it was told since, which the next sweep of any relay finds. Returns when no statement runs. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.current;
  }

  private goOn({ events, halted, next }: LinesLook): void {
    this.haltedInRound += halted.length;
    this.after = next ?? FIRST_LINE;
    if (next === undefined) {
      this.haltedLines = this.haltedInRound;
      this.haltedInRound = 0;
    }
    if (events.length > 0) this.hooks.onPromoted(events, 'sweep');
  }

  private get isAsked(): boolean {
    return !this.isStopped && (this.isRoundWanted || this.lines.size + this.outboxIds.size > 0);
  }

  private run(): void {
    if (this.isAsked) this.current ??= this.lookWhileAsked().finally(() => (this.current = undefined));
  }

  private async lookWhileAsked(): Promise<void> {
    while (this.isAsked) {
      try {
        if (this.isRoundWanted) await this.lookAtAll();
        const lines = taken(this.lines);
        const givenUp = lines.filter((lineId) => this.givenUp.delete(lineId));
        this.tell(await this.store.promote(lines, taken(this.outboxIds)), givenUp);
      } catch (error) {
        // Not repeated: a relay finds it within its next rounds.
        this.failed(error);
      }
    }
  }

  private async lookAtAll(): Promise<void> {
    this.isRoundWanted = false;
    for (let after: LineCursor | undefined = FIRST_LINE; after !== undefined && !this.isStopped;) {
      const look: LinesLook = await this.store.sweep(after);
      this.tell(look, []);
      after = look.next;
    }
  }

  private failed(error: unknown): void {
    if (!this.isStopped) this.hooks.onFailed(error);
  }

  private tell({ events, halted }: Promoted, givenUp: readonly string[]): void {
    if (events.length > 0) this.hooks.onPromoted(events, 'told');
    for (const line of halted) if (givenUp.includes(line.lineId)) this.hooks.onHalted(line);
  }
}

function taken(from: Set<string>): string[] {
  const batch = [...from].slice(0, BATCH);
  for (const one of batch) from.delete(one);
  return batch;
}
