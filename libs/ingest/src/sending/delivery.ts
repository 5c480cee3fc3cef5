import { type Backoff, backoffDelay, type Clock, type Random } from '@nest-baton/core';
import type { AttemptResult, Reading } from '../answers/reading.js';
import type { Batch } from '../batching/batch.js';
import type { RequestOutcome } from '../ingest.metrics.js';
import type { IngestReporter } from '../operating/reporter.js';
import type { RequestSpans } from '../operating/request-spans.js';
import type { IngestProtocol } from '../protocols/protocol.js';
import type { AdaptiveConcurrency } from '../pacing/adaptive-concurrency.js';
import type { Circuit } from '../pacing/circuit.js';
import type { Pacing, Turn } from '../pacing/pacing.js';
import type { Transport } from './transport.js';
import { type Compression, toWireBody, type WireBody } from './wire-body.js';
import {
  afterAccepted,
  afterTooLarge,
  batchBytesUnder,
  currentWireLimit,
  FORGET_AFTER_MS,
  NO_LIMIT,
  type WireLimit,
} from './wire-limit.js';

export interface DeliverySettings {
  readonly compression: Compression;
  readonly serverLimitBytes: number;
  readonly maxBatchBytes: number;
  readonly retry: Backoff;
  readonly ambiguous: 'retry' | 'report';
}

/** What an attempt goes through, and whom it tells. */
export interface DeliverySurroundings {
  readonly protocol: IngestProtocol;
  readonly transport: Transport;
  readonly pacing: Pacing;
  readonly concurrency: AdaptiveConcurrency;
  readonly circuit: Circuit;
  readonly reporter: IngestReporter;
  readonly spans: RequestSpans;
  readonly clock: Clock;
  readonly random: Random;
}

/** What a batch came to. Everything else was tried again until it became one of these. */
export type Verdict =
  | Exclude<Reading, { readonly kind: 'retry' }>
  /** `ambiguous: 'report'`. */
  | { readonly kind: 'unknown'; readonly cause: unknown }
  /** The service was closed before there was an answer. */
  | { readonly kind: 'closed' };

type Denied = Extract<Reading, { readonly kind: 'denied' }>;
type Retry = Extract<Reading, { readonly kind: 'retry' }>;

interface Attempt {
  readonly batch: Batch;
  readonly body: WireBody;
  readonly detailed: boolean;
}

/**
 * Tries one batch until the server has said something definite about it, or the service has closed.
 *
 * - It marks the batch ambiguous before anything else can happen to it, so that no later path forgets.
 * - It never gives up by itself: sent documents are tried again until settled or closed.
 * - A server that does not want our requests costs one batch, the one that found out; all others wait for the circuit.
 */
export class Delivery {
  requests = 0;
  retries = 0;
  private limit: WireLimit = NO_LIMIT;
  private withoutDetailsSinceMs = -Infinity;

  constructor(
    private readonly settings: DeliverySettings,
    private readonly around: DeliverySurroundings,
  ) {}

  /** Uncompressed bytes that a new batch should not pass now. */
  maxBatchBytes(): number {
    if (this.limit.maxWireBytes === Infinity) return this.settings.maxBatchBytes;
    return batchBytesUnder(this.limit, this.settings.maxBatchBytes, this.around.clock.monotonic());
  }

  /** @param detailed asks the server to name what it rejects; by default unless the server is known not to understand. */
  async attempt(batch: Batch, detailed = this.asksForDetails()): Promise<Verdict> {
    const { server } = this.around.reporter;
    server.begin();
    try {
      const body = await toWireBody(batch.body, this.settings.compression);
      const tooLong = this.overLimit(batch, body);
      if (tooLong !== undefined) return { kind: 'too_large', cause: tooLong };
      return await this.tryUntilDefinite({ batch, body, detailed });
    } finally {
      server.end();
    }
  }

  asksForDetails(): boolean {
    const { protocol, clock } = this.around;
    return protocol.hasDetails && clock.monotonic() - this.withoutDetailsSinceMs >= FORGET_AFTER_MS;
  }

  /** The server answered without details what it had refused with them. */
  rememberNoDetails(): void {
    this.withoutDetailsSinceMs = this.around.clock.monotonic();
    this.around.reporter.withoutDetails();
  }

  /** Waits before documents are tried again that the server did not take, or may not have taken. */
  async backOff(batch: Batch, { cause, isAmbiguous, retryAfterMs }: Omit<Retry, 'kind'>): Promise<void> {
    const { pacing, reporter, random } = this.around;
    const delayMs = backoffDelay(++batch.failures, this.settings.retry, random);
    if (retryAfterMs !== undefined) {
      pacing.pause(retryAfterMs);
      reporter.paused(retryAfterMs);
    }
    this.retrying(batch, cause, isAmbiguous, delayMs);
    await pacing.sleep(delayMs);
  }

  /** @returns true when its documents are to be reported instead of tried again. */
  markAmbiguous(batch: Batch, cause: unknown): boolean {
    if (batch.ambiguity === undefined) {
      batch.ambiguity = { cause };
      this.around.reporter.ambiguous(batch.size, cause);
    }
    return this.settings.ambiguous === 'report';
  }

  private async tryUntilDefinite(attempt: Attempt): Promise<Verdict> {
    const { batch } = attempt;
    const { pacing } = this.around;
    const isBounded = batch.origin.commit === 'auto';
    for (let denials = 0; ;) {
      const turn = await pacing.begin(isBounded);
      if (turn === 'ended') return { kind: 'closed' };
      let reading: Reading;
      try {
        if (!batch.isLive) return { kind: 'closed' };
        reading = await this.exchange(attempt, isBounded);
        this.feedCircuit(turn, reading);
      } finally {
        if (turn === 'probe') this.around.circuit.probeEnded();
        pacing.end(isBounded);
      }
      if (reading.kind === 'retry') {
        if (reading.isAmbiguous && this.markAmbiguous(batch, reading.cause))
          return { kind: 'unknown', cause: reading.cause };
        if (pacing.hasEnded) return { kind: 'closed' };
        await this.backOff(batch, reading);
      } else if (reading.kind === 'denied') {
        const verdict = this.afterDenial(batch, reading, ++denials);
        if (verdict !== undefined) return verdict;
        // Whoever waits for the circuit begins anew once it has closed: `auth` may be another by then.
        if (this.around.circuit.isOpen) denials = 0;
      } else return this.learned(reading, attempt);
    }
  }

  private async exchange({ batch, body, detailed }: Attempt, isBounded: boolean): Promise<Reading> {
    const { clock, transport, protocol, reporter, spans, concurrency, pacing } = this.around;
    this.requests++;
    const { inFlight } = pacing;
    const bytes = body.bytes.length;
    const startedAtMs = clock.monotonic();
    const span = spans.begin({ documents: batch.size, bytes, attempt: batch.failures + 1, links: batch.contexts() });
    const shape = { commit: batch.origin.commit, detailed, documents: batch.size, rawBytes: batch.byteLength };
    const result = await span.run(() => transport.send(body, shape));
    const reading = protocol.read(result, batch.size, clock.now());
    const outcome = outcomeOf(reading);
    const durationMs = clock.monotonic() - startedAtMs;
    if (isBounded) concurrency.ended({ outcome: loadOf(result, reading), durationMs, bytes, inFlight });
    span.end({
      outcome,
      ...(result.kind === 'answer' ? { status: result.status } : {}),
      ...('cause' in reading ? { cause: reading.cause } : {}),
    });
    reporter.requestEnded(outcome, startedAtMs);
    return reading;
  }

  private feedCircuit(turn: Turn, reading: Reading): void {
    const { circuit } = this.around;
    if (reading.kind === 'denied') {
      if (turn === 'probe') circuit.probeFailed();
    } else if (isTaken(reading)) circuit.closed();
  }

  /**
   * Denied once, `auth` is asked again at once. Denied again, this batch has found out that the server does not want our requests, and opens the
   * circuit; any other, which only shares its fate, stays. Nothing waits for the circuit while closing.
   */
  private afterDenial(batch: Batch, denial: Denied, denials: number): Denied | { kind: 'closed' } | undefined {
    const { circuit, pacing, reporter } = this.around;
    if (pacing.hasEnded) return { kind: 'closed' };
    if (circuit.isOpen) {
      reporter.stillDenied(denial.status);
      if (!pacing.isClosing) return undefined;
    } else if (denials === 1) {
      batch.failures++;
      this.retrying(batch, denial.cause, false, 0);
      return undefined;
    } else circuit.opened();
    reporter.denied({ documents: batch.size, status: denial.status, cause: denial.cause });
    return denial;
  }

  private learned(reading: Exclude<Reading, Denied | Retry>, { batch, body }: Attempt): Verdict {
    const { clock, reporter } = this.around;
    const documents = batch.size;
    const wireBytes = body.bytes.length;
    switch (reading.kind) {
      case 'accepted':
      case 'judged':
        this.limit = afterAccepted(this.limit, wireBytes, batch.byteLength);
        break;
      case 'too_large':
        this.limit = afterTooLarge(this.limit, wireBytes, clock.monotonic());
        reporter.tooLarge({ documents, wireBytes, limitBytes: this.limit.maxWireBytes });
        break;
      case 'refused':
        break;
    }
    if (isTaken(reading)) reporter.taken();
    return reading;
  }

  /** What is certainly too long is not sent. A lone document is held only against the limit that was configured, since a learned one is an estimate. */
  private overLimit(batch: Batch, body: WireBody): Error | undefined {
    const learned = batch.size === 1 ? Infinity : currentWireLimit(this.limit, this.around.clock.monotonic());
    const limit = Math.min(this.settings.serverLimitBytes, learned);
    if (body.bytes.length <= limit) return undefined;
    return new Error(`a request of ${body.bytes.length} bytes is over the limit of ${limit}`);
  }

  private retrying(batch: Batch, cause: unknown, isAmbiguous: boolean, delayMs: number): void {
    this.retries++;
    this.around.reporter.retrying({ documents: batch.size, attempt: batch.failures, delayMs, isAmbiguous, cause });
  }
}

function outcomeOf(reading: Reading): RequestOutcome {
  switch (reading.kind) {
    case 'retry':
      return reading.isAmbiguous ? 'ambiguous' : 'retry';
    case 'judged':
      return isTaken(reading) ? 'accepted' : 'retry';
    default:
      return reading.kind;
  }
}

/** The server judged documents; pure. Not a 413, which a proxy may answer before it has looked at anything else. */
function isTaken(reading: Reading): boolean {
  if (reading.kind === 'judged') return reading.items.some(({ kind }) => kind !== 'retry');
  return reading.kind === 'accepted' || reading.kind === 'refused';
}

const OVERLOADED: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** What an attempt says about the server's load; pure. */
function loadOf(result: AttemptResult, reading: Reading): 'taken' | 'overloaded' | 'neutral' {
  if (result.kind === 'no_answer') return result.isOurs ? 'neutral' : 'overloaded';
  if (OVERLOADED.has(result.status)) return 'overloaded';
  switch (reading.kind) {
    case 'judged':
      return reading.items.some((item) => item.kind === 'retry' && !item.isAmbiguous) ? 'overloaded' : 'taken';
    case 'accepted':
      return 'taken';
    default:
      return 'neutral';
  }
}
