import { backoffDelay, type Backoff, type Clock, describeError, type Random } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import type { Batch } from '../batching/batch.js';
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
  private readonly logger: Logger;
  private limit: WireLimit = NO_LIMIT;
  private withoutDetailsSinceMs = -Infinity;

  constructor(
    private readonly settings: DeliverySettings,
    private readonly transport: Transport,
    private readonly pacing: Pacing,
    private readonly clock: Clock,
    private readonly random: Random,
    name: string,
  ) {
    this.logger = new Logger(`IngestService:${name}`);
  }

  /** Uncompressed bytes that a new batch should not pass now. */
  maxBatchBytes(): number {
    if (this.limit.maxWireBytes === Infinity) return this.settings.maxBatchBytes;
    return batchBytesUnder(this.limit, this.settings.maxBatchBytes, this.clock.monotonic());
  }

  /** @param detailed asks the server to name what it rejects; by default unless the server is known not to understand. */
  async attempt(batch: Batch, detailed = this.asksForDetails()): Promise<Verdict> {
    const body = await toWireBody(batch.body, this.settings.compression);
    const tooLong = this.overLimit(batch, body);
    if (tooLong !== undefined) return { kind: 'too_large', cause: tooLong };
    let denials = 0;
    for (let failures = 1; ; failures++) {
      await this.pacing.untilUnpaused();
      if (this.pacing.hasEnded || !batch.isLive) return { kind: 'closed' };
      const reading = await this.exchange(batch, body, detailed);
      if (reading.kind === 'retry') {
        if (reading.isAmbiguous) batch.ambiguity ??= { cause: reading.cause };
        if (reading.isAmbiguous && this.settings.ambiguous === 'report')
          return { kind: 'unknown', cause: reading.cause };
      } else if (reading.kind !== 'denied' || ++denials > 1) return this.learned(reading, batch, body);
      if (this.pacing.hasEnded) return { kind: 'closed' };
      this.retries++;
      this.logRetry(failures, batch, reading);
      // Denied once: `auth` is asked again at once, and the second answer stands.
      if (reading.kind === 'retry') await this.backOff(failures, reading.retryAfterMs);
    }
  }

  asksForDetails(): boolean {
    return this.clock.monotonic() - this.withoutDetailsSinceMs >= FORGET_AFTER_MS;
  }

  /** The server answered without details what it had refused with them. */
  rememberNoDetails(): void {
    this.withoutDetailsSinceMs = this.clock.monotonic();
    this.logger.warn('the server does not understand detailed_response: rejected documents cannot be told apart', {
      index: this.settings.index,
    });
  }

  private async exchange(batch: Batch, body: WireBody, detailed: boolean): Promise<Reading> {
    this.requests++;
    const shape = { commit: batch.origin.commit, detailed, rawBytes: batch.byteLength };
    const result = await this.transport.send(body, shape);
    return readAnswer(result, batch.size, this.clock.now());
  }

  private learned(reading: Exclude<Reading, { kind: 'retry' }>, batch: Batch, body: WireBody): Verdict {
    if (reading.kind === 'accepted') this.limit = afterAccepted(this.limit, body.bytes.length, batch.byteLength);
    if (reading.kind === 'too_large') {
      this.limit = afterTooLarge(this.limit, body.bytes.length, this.clock.monotonic());
      this.logger.warn('the server finds a request too large', {
        index: this.settings.index,
        documents: batch.size,
        wireBytes: body.bytes.length,
        limitBytes: this.limit.maxWireBytes,
      });
    }
    // The status only: the server's words may quote a document.
    if (reading.kind === 'denied')
      this.logger.error('the server does not want our requests; a batch is given up', {
        index: this.settings.index,
        documents: batch.size,
        status: reading.status,
      });
    return reading;
  }

  /** What is certainly too long is not sent. A lone document is held only against the limit that was configured, since a learned one is an estimate. */
  private overLimit(batch: Batch, body: WireBody): Error | undefined {
    const learned = batch.size === 1 ? Infinity : currentWireLimit(this.limit, this.clock.monotonic());
    const limit = Math.min(this.settings.serverLimitBytes, learned);
    if (body.bytes.length <= limit) return undefined;
    return new Error(`a request of ${body.bytes.length} bytes is over the limit of ${limit}`);
  }

  private async backOff(failures: number, retryAfterMs: number | undefined): Promise<void> {
    const delayMs = backoffDelay(failures, this.settings.retry, this.random);
    if (retryAfterMs !== undefined) this.pacing.pause(retryAfterMs);
    await this.pacing.sleep(delayMs);
  }

  /** The first failure and then every power of two, so that an outage does not fill the log. */
  private logRetry(failures: number, batch: Batch, reading: { readonly kind: string; readonly cause: unknown }): void {
    if ((failures & (failures - 1)) !== 0) return;
    this.logger.warn('the server did not take a batch; trying again', {
      index: this.settings.index,
      documents: batch.size,
      attempt: failures,
      cause: describeError(reading.cause),
    });
  }
}
