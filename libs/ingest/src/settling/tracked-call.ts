import type { SpanContext } from '@opentelemetry/api';
import { callError, untilFirst } from './call-error.js';
import type { DocumentOwner, UnsentPlace } from './document-owner.js';
import type { DocumentOutcome, IngestReceipt } from './receipt.js';

/**
 * The receipt of one call, and the only place where its documents' outcomes are kept.
 *
 * - A document's first outcome stands; every later one is ignored.
 * - `outcomes` resolves when the last document has settled, and never rejects, so that an unobserved receipt harms nobody.
 */
export class TrackedCall implements IngestReceipt, DocumentOwner {
  admitted: Promise<void> = ADMITTED;
  /** Run once, when the last document has settled. */
  whenSettled: (() => void) | undefined;
  private readonly found: (DocumentOutcome | undefined)[];
  private remaining: number;
  private promised: Promise<readonly DocumentOutcome[]> | undefined;
  private resolveOutcomes: (outcomes: readonly DocumentOutcome[]) => void = () => undefined;
  /** Of a call that can be aborted: the batch that is still open, and the queue for room. */
  private readonly places: Map<UnsentPlace, number> | undefined;

  constructor(
    size: number,
    readonly signal: AbortSignal | undefined,
    readonly context: SpanContext | undefined,
  ) {
    this.remaining = size;
    this.found = new Array<DocumentOutcome | undefined>(size);
    this.places = signal === undefined ? undefined : new Map();
  }

  get canAbort(): boolean {
    return this.signal !== undefined;
  }

  get settled(): boolean {
    return this.remaining === 0;
  }

  get outcomes(): Promise<readonly DocumentOutcome[]> {
    return (this.promised ??= this.settled
      ? Promise.resolve(this.found as DocumentOutcome[])
      : new Promise((resolve) => (this.resolveOutcomes = resolve)));
  }

  settle(position: number, outcome: DocumentOutcome): boolean {
    if (position >= this.found.length || this.found[position] !== undefined) return false;
    this.found[position] = outcome;
    this.remaining--;
    if (this.remaining > 0) return true;
    this.resolveOutcomes(this.found as DocumentOutcome[]);
    this.whenSettled?.();
    this.whenSettled = undefined;
    return true;
  }

  async wait(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (!this.settled) await untilFirst(this.outcomes, [options.signal, this.signal], this.found.length);
    const error = callError(this.found as DocumentOutcome[], this.signal);
    if (error !== undefined) throw error;
  }

  isPut(place: UnsentPlace, firstLine: number): void {
    this.places?.set(place, firstLine);
  }

  /**
   * Takes out what is not sealed yet, what waits for room first, so that the room which the rest makes does not let it in. Returns positions: what
   * stands there has not settled.
   */
  takeOut(): readonly number[] {
    const places = [...(this.places ?? [])].sort(([a], [b]) => Number(b.isQueue) - Number(a.isQueue));
    this.places?.clear();
    return places.flatMap(([place, firstLine]) => place.takeOut(this, firstLine));
  }
}

/** One promise for every call that does not wait. */
export const ADMITTED: Promise<void> = Promise.resolve();
