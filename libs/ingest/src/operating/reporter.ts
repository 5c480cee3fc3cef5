import { type Clock, describeError, Metrics, secondsSince, TypedEvents } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import type { BatchSettled, IngestEvents } from '../ingest.events.js';
import { INGEST_METRICS, type RequestOutcome } from '../ingest.metrics.js';
import type { HookCalls, RejectReport } from '../settling/hooks.js';
import type { DiscardReason } from '../settling/receipt.js';
import type { CloseReport } from './ingest-report.js';
import { ServerWatch } from './server-watch.js';

/**
 * Tells the log, the listeners, the instruments and the health what happens. What any of them does or throws reaches nothing else.
 */
export class IngestReporter {
  readonly events: TypedEvents<IngestEvents>;
  readonly metrics: Metrics<typeof INGEST_METRICS>;
  readonly server: ServerWatch;
  private readonly logger: Logger;

  constructor(
    private readonly index: string,
    private readonly name: string,
    private readonly hooks: HookCalls,
    private readonly clock: Clock,
  ) {
    this.logger = new Logger(`Ingest:${name}`);
    this.events = new TypedEvents((event, error) =>
      this.logger.error('a listener failed', { event, error: describeError(error) }),
    );
    this.metrics = new Metrics(INGEST_METRICS, name);
    this.server = new ServerWatch(clock);
  }

  /** A document that was refused on its way in, or taken out before it was sealed. Makes no object. */
  refused(reason: DiscardReason): void {
    this.metrics.add('documents.settled', 1, 'discarded');
    this.metrics.add('documents.discarded', 1, reason);
  }

  batchSettled(settled: Omit<BatchSettled, 'durationMs'>, oldestAtMs: number): void {
    const { documents, bytes, accepted, discarded, unknown, maybeDuplicates } = settled;
    const { metrics } = this;
    if (accepted > 0) metrics.add('documents.settled', accepted, 'accepted');
    if (unknown > 0) metrics.add('documents.settled', unknown, 'unknown');
    for (const [reason, count] of Object.entries(discarded) as [DiscardReason, number][]) {
      metrics.add('documents.settled', count, 'discarded');
      metrics.add('documents.discarded', count, reason);
    }
    if (maybeDuplicates > 0) metrics.add('documents.maybe_duplicate', maybeDuplicates);
    metrics.record('batch.documents', documents);
    metrics.record('batch.size', bytes);
    metrics.record('batch.duration', secondsSince(oldestAtMs, this.clock));
    this.events.emit('batchSettled', { ...settled, durationMs: this.clock.monotonic() - oldestAtMs });
  }

  requestEnded(outcome: RequestOutcome, startedAtMs: number): void {
    this.metrics.record('request.duration', secondsSince(startedAtMs, this.clock), outcome);
  }

  /** The server judged the documents of a request. */
  taken(): void {
    const afterMs = this.server.taken();
    if (afterMs === undefined) return;
    this.logger.log('the server takes documents again', { index: this.index, afterMs: Math.round(afterMs) });
    this.events.emit('recovered', { afterMs });
  }

  rejected(report: RejectReport): void {
    const { index, documents, rejected, unattributed } = report;
    this.logger.warn('the server refused documents', { index, documents, rejected, unattributed });
    this.hooks.reject(report);
    this.events.emit('rejected', report);
  }

  /** The first failure of a batch and then every power of two are logged, so that an outage does not fill the log. */
  retrying(retry: IngestEvents['retry']): void {
    this.server.failed();
    const { documents, attempt, cause } = retry;
    if ((attempt & (attempt - 1)) === 0)
      this.logger.warn('the server did not take a batch; trying again', {
        index: this.index,
        documents,
        attempt,
        cause: describeError(cause),
      });
    this.events.emit('retry', retry);
  }

  ambiguous(documents: number, cause: unknown): void {
    this.server.failed();
    this.events.emit('ambiguous', { documents, cause });
  }

  paused(pauseMs: number): void {
    this.events.emit('paused', { pauseMs });
  }

  tooLarge(told: IngestEvents['tooLarge']): void {
    this.logger.warn('the server finds a request too large', { index: this.index, ...told });
    this.events.emit('tooLarge', told);
  }

  /** The status only is logged: the server's words may quote a document. */
  denied(denial: IngestEvents['denied']): void {
    this.server.denied(denial.status);
    const { documents, status } = denial;
    this.logger.error('the server does not want our requests; a batch is given up', {
      index: this.index,
      documents,
      status,
    });
    this.events.emit('denied', denial);
  }

  /** The circuit is open and stays so. */
  stillDenied(status: number): void {
    this.server.denied(status);
  }

  /** Single documents of a request that was taken otherwise. */
  itemsDenied(denial: IngestEvents['denied']): void {
    const { documents, status } = denial;
    this.logger.error('the server takes our requests, but not these documents', {
      index: this.index,
      documents,
      status,
    });
    this.events.emit('denied', denial);
  }

  withoutDetails(): void {
    this.logger.warn('the server does not understand detailed_response: rejected documents cannot be told apart', {
      index: this.index,
    });
  }

  full(bufferedDocs: number, bufferedBytes: number): void {
    this.events.emit('full', { bufferedDocs, bufferedBytes });
  }

  closed(report: CloseReport): void {
    const isClean = report.unknown === 0 && Object.keys(report.discarded).length === 0;
    const shown = { index: this.index, name: this.name, ...report };
    if (isClean) this.logger.log('closed', shown);
    else this.logger.warn('closed with documents that are not on the server', shown);
    this.events.emit('closed', report);
  }
}
