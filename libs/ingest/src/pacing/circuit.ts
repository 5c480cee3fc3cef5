import { type Backoff, backoffDelay, type Clock, type Random } from '@nest-baton/core';

/** `retryAtMs` and `heldUntilMs` are on the monotonic clock; `failures` are denials in a row, which the waits grow by. */
export type CircuitState =
  | { readonly kind: 'closed' }
  | { readonly kind: 'waiting'; readonly failures: number; readonly retryAtMs: number }
  | { readonly kind: 'probing'; readonly failures: number; readonly heldUntilMs: number };

/**
 * A probe that nobody reports the end of, in milliseconds, is given up for lost. Longer than the longest attempt by default (90 s for a commit), since
 * then two of them would run.
 */
const PROBE_HOLDS_MS = 120_000;

/**
 * Holds an index's requests back while the server does not want them as such.
 *
 * ```text
 *              opened()                    mayTry() = 0, time is up
 *   closed ───────────────▶ open, waiting ──────────────────────────▶ open, probing
 *     ▲                      │    ▲  ▲                                  │   │    │
 *     │       closed()       │    │  └─────── probeFailed(): longer ────┘   │    │
 *     ├──────────────────────┘    └────────── probeEnded(): at once ────────┘    │
 *     └────────────────────────────── closed() ──────────────────────────────────┘
 * ```
 *
 * - While it is open, at most one caller at a time may try: who got 0 from `mayTry()`. Nobody else is needed for it to close again.
 * - It never wedges: every wait has an end, at which the next caller is the probe. Who probes calls `probeEnded()` in a `finally`, in the same turn as
 *   `probeFailed()` or `closed()`, after which it does nothing. A probe that is lost all the same is replaced after `probeHoldsMs`; what it reports
 *   later counts for its successor's, so that there may be two for that once.
 * - Requests that were on their way when it opened report as they end: denials change nothing any more, and one that is taken closes it.
 */
export class Circuit {
  private state: CircuitState = { kind: 'closed' };

  /** `probeHoldsMs`: longer than any attempt can take. */
  constructor(
    private readonly backoff: Backoff,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly probeHoldsMs = PROBE_HOLDS_MS,
  ) {}

  get isOpen(): boolean {
    return this.state.kind !== 'closed';
  }

  get kind(): CircuitState['kind'] {
    return this.state.kind;
  }

  /**
   * How long an attempt must wait, in milliseconds. 0: go, and when `isOpen`, as its probe. More: come again then, or when woken; coming earlier
   * does no harm.
   */
  mayTry(): number {
    const { state } = this;
    const now = this.clock.monotonic();
    switch (state.kind) {
      case 'closed':
        return 0;
      case 'waiting':
        return now < state.retryAtMs ? state.retryAtMs - now : this.probe(state.failures, now);
      case 'probing':
        if (now >= state.heldUntilMs) return this.probe(state.failures, now);
        return Math.min(Math.max(1, this.delayAfter(state.failures)), state.heldUntilMs - now);
    }
  }

  /** The server denied a request. When it is open already, that is no news. */
  opened(): void {
    if (this.state.kind === 'closed') this.wait(1);
  }

  /** The probe was denied. */
  probeFailed(): void {
    switch (this.state.kind) {
      case 'closed':
        // A straggler was taken meanwhile, but the denial is the later word.
        return this.wait(1);
      case 'waiting':
        return;
      case 'probing':
        return this.wait(this.state.failures + 1);
    }
  }

  /** The probe ended without saying anything (no answer, 429): somebody else may probe, at once. */
  probeEnded(): void {
    const { state } = this;
    if (state.kind !== 'probing') return;
    this.state = { kind: 'waiting', failures: state.failures, retryAtMs: this.clock.monotonic() };
  }

  /** A request was taken. */
  closed(): void {
    this.state = { kind: 'closed' };
  }

  private probe(failures: number, now: number): 0 {
    this.state = { kind: 'probing', failures, heldUntilMs: now + this.probeHoldsMs };
    return 0;
  }

  private wait(failures: number): void {
    this.state = { kind: 'waiting', failures, retryAtMs: this.clock.monotonic() + this.delayAfter(failures) };
  }

  private delayAfter(failures: number): number {
    return backoffDelay(failures, this.backoff, this.random);
  }
}
