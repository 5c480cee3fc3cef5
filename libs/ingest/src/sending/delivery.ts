import { type Backoff, backoffDelay, type Clock, type Random } from '@nest-baton/core';
import type { Batch } from '../batching/batch.js';
import type { RequestOutcome } from '../ingest.metrics.js';
import type { IngestReporter } from '../operating/reporter.js';
import type { Pacing } from './pacing.js';
import { readAnswer, type Reading } from '../answers/read-answer.js';
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
  readonly index: string;
  readonly compression: Compression;
  readonly serverLimitBytes: number;
  readonly maxBatchBytes: number;
  readonly retry: Backoff;
  readonly ambiguous: 'retry' | 'report';
}

/** What a batch came to. Everything else was tried again until it became one of these. */
export type Verdict =
  | Exclude<Reading, { readonly kind: 'retry' }>
  /** `ambiguous: 'report'`. */
  | { readonly kind: 'unknown'; readonly cause: unknown }
  /** The service was closed before there was an answer. */
  | { readonly kind: 'closed' };

/**
 * Tries one batch until the server has said something definite about it, or the service has closed.
 *
 * - It marks the batch ambiguous before anything else can happen to it, so that no later path forgets.
 * - It never gives up by itself: sent documents are tried again until settled or closed.
 */
export class Delivery {
  requests = 0;
  retries = 0;
  private limit: WireLimit = NO_LIMIT;
  private withoutDetailsSinceMs = -Infinity;

  constructor(
    private readonly settings: DeliverySettings,
    private readonly transport: Transport,
    private readonly pacing: Pacing,
    private readonly reporter: IngestReporter,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  /** Uncompressed bytes that a new batch should not pass now. */
  maxBatchBytes(): number {
    if (this.limit.maxWireBytes === Infinity) return this.settings.maxBatchBytes;
    return batchBytesUnder(this.limit, this.settings.maxBatchBytes, this.clock.monotonic());
  }

  /** @param detailed asks the server to name what it rejects; by default unless the server is known not to understand. */
  async attempt(batch: Batch, detailed = this.asksForDetails()): Promise<Verdict> {
    this.reporter.server.begin();
    try {
      return await this.tryUntilDefinite(batch, detailed);
    } finally {
      this.reporter.server.end();
    }
  }

  private async tryUntilDefinite(batch: Batch, detailed: boolean): Promise<Verdict> {
    const body = await toWireBody(batch.body, this.settings.compression);
    const tooLong = this.overLimit(batch, body);
    if (tooLong !== undefined) return { kind: 'too_large', cause: tooLong };
    let denials = 0;
    for (let failures = 1; ; failures++) {
      await this.pacing.untilUnpaused();
      if (this.pacing.hasEnded || !batch.isLive) return { kind: 'closed' };
      const reading = await this.exchange(batch, body, detailed);
      if (reading.kind === 'retry') {
        if (reading.isAmbiguous) this.markAmbiguous(batch, reading.cause);
        if (reading.isAmbiguous && this.settings.ambiguous === 'report')
          return { kind: 'unknown', cause: reading.cause };
      } else if (reading.kind !== 'denied' || ++denials > 1) return this.learned(reading, batch, body);
      if (this.pacing.hasEnded) return { kind: 'closed' };
      // Denied once: `auth` is asked again at once, and the second answer stands.
      if (reading.kind === 'denied') this.retrying(batch, failures, reading.cause, false, 0);
      else await this.backOff(batch, failures, reading);
    }
  }

  asksForDetails(): boolean {
    return this.clock.monotonic() - this.withoutDetailsSinceMs >= FORGET_AFTER_MS;
  }

  /** The server answered without details what it had refused with them. */
  rememberNoDetails(): void {
    this.withoutDetailsSinceMs = this.clock.monotonic();
    this.reporter.withoutDetails();
  }

  private async exchange(batch: Batch, body: WireBody, detailed: boolean): Promise<Reading> {
    this.requests++;
    const shape = { commit: batch.origin.commit, detailed, rawBytes: batch.byteLength };
    const startedAtMs = this.clock.monotonic();
    const result = await this.transport.send(body, shape);
    const reading = readAnswer(result, batch.size, this.clock.now());
    this.reporter.requestEnded(outcomeOf(reading), startedAtMs);
    return reading;
  }

  private markAmbiguous(batch: Batch, cause: unknown): void {
    if (batch.ambiguity !== undefined) return;
    batch.ambiguity = { cause };
    this.reporter.ambiguous(batch.size, cause);
  }

  private learned(reading: Exclude<Reading, { kind: 'retry' }>, batch: Batch, body: WireBody): Verdict {
    const documents = batch.size;
    const wireBytes = body.bytes.length;
    switch (reading.kind) {
      case 'accepted':
        this.limit = afterAccepted(this.limit, wireBytes, batch.byteLength);
        break;
      case 'too_large':
        this.limit = afterTooLarge(this.limit, wireBytes, this.clock.monotonic());
        this.reporter.tooLarge({ documents, wireBytes, limitBytes: this.limit.maxWireBytes });
        break;
      case 'refused':
        break;
      case 'denied':
        this.reporter.denied({ documents, status: reading.status, cause: reading.cause });
        return reading;
    }
    this.reporter.taken();
    return reading;
  }

  /** What is certainly too long is not sent. A lone document is held only against the limit that was configured, since a learned one is an estimate. */
  private overLimit(batch: Batch, body: WireBody): Error | undefined {
    const learned = batch.size === 1 ? Infinity : currentWireLimit(this.limit, this.clock.monotonic());
    const limit = Math.min(this.settings.serverLimitBytes, learned);
    if (body.bytes.length <= limit) return undefined;
    return new Error(`a request of ${body.bytes.length} bytes is over the limit of ${limit}`);
  }

  private async backOff(batch: Batch, failures: number, reading: Extract<Reading, { kind: 'retry' }>): Promise<void> {
    const { retryAfterMs, cause, isAmbiguous } = reading;
    const delayMs = backoffDelay(failures, this.settings.retry, this.random);
    if (retryAfterMs !== undefined) {
      this.pacing.pause(retryAfterMs);
      this.reporter.paused(retryAfterMs);
    }
    this.retrying(batch, failures, cause, isAmbiguous, delayMs);
    await this.pacing.sleep(delayMs);
  }

  private retrying(batch: Batch, attempt: number, cause: unknown, isAmbiguous: boolean, delayMs: number): void {
    this.retries++;
    this.reporter.retrying({ documents: batch.size, attempt, delayMs, isAmbiguous, cause });
  }
}

function outcomeOf(reading: Reading): RequestOutcome {
  return reading.kind === 'retry' && reading.isAmbiguous ? 'ambiguous' : reading.kind;
}
