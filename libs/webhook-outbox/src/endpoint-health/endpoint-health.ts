import type { Settlement } from '../outcomes/outcome.js';
import type { EndpointHealthStore, HealthChange } from './endpoint-health-store.js';
import { NOTHING_SEEN, type Observation, observe } from './observation.js';

export interface EndpointHealthHooks {
  readonly onChanged: (change: HealthChange) => void;
  readonly onError: (error: unknown) => void;
}

const PAUSE_AFTER_ERROR_MS = 1_000;

/**
 * Tells the database what outcomes say about their endpoints: one statement at a time, what comes meanwhile together in the next.
 *
 * - An endpoint that is well costs nothing: its successes are told only while it is known to have failed.
 * - Nothing waits for it. What cannot be written is kept, an entry for each endpoint, and tried again; a crash forgets it, and the next failures
 *   count anew.
 */
export class EndpointHealth {
  private pending = new Map<string, Observation>();
  /** Endpoints that failed when this process last wrote of them. */
  private readonly failing = new Set<string>();
  private current: Promise<void> | undefined;
  private isStopped = false;
  private wake: (() => void) | undefined;

  constructor(
    private readonly store: EndpointHealthStore,
    private readonly hooks: EndpointHealthHooks,
  ) {}

  observe(endpointId: string, isTroubled: boolean, attempt: number, settlement: Settlement): void {
    const before = this.pending.get(endpointId);
    const isNews = settlement.state !== 'delivered' || isTroubled || this.failing.has(endpointId);
    if (this.isStopped || (before === undefined && !isNews)) return;
    const seen = observe(before ?? NOTHING_SEEN, attempt, settlement);
    if (seen === NOTHING_SEEN) return;
    this.pending.set(endpointId, seen);
    this.current ??= this.run();
  }

  /** Resolves when nothing waits to be written, or at once after `stop()`. */
  async idle(): Promise<void> {
    await this.current;
  }

  /** Forgets what is not written. Returns when no write runs. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.wake?.();
    await this.current;
  }

  private async run(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.pending.size > 0 && !this.isStopped) {
      const batch = this.pending;
      this.pending = new Map();
      try {
        const changes = await this.store.record(batch);
        for (const endpointId of batch.keys()) this.failing.delete(endpointId);
        for (const change of changes) {
          if (change.isFailing && change.disabledReason === null) this.failing.add(change.endpointId);
          this.hooks.onChanged(change);
        }
      } catch (error) {
        // What was seen since is newer, and of endpoints that fail there is always more to see.
        this.pending = new Map([...batch, ...this.pending]);
        this.hooks.onError(error);
        await this.pause();
      }
    }
    this.current = undefined;
  }

  private async pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PAUSE_AFTER_ERROR_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}
