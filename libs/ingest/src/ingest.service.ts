import {
  type Clock,
  type Duration,
  type GaugeReadings,
  parseDuration,
  type Random,
  systemClock,
  systemRandom,
} from '@nest-baton/core';
import type { OnApplicationShutdown } from '@nestjs/common';
import { Admission } from './admitting/admission.js';
import { Intake } from './admitting/intake.js';
import { Lane, type LaneSurroundings } from './batching/lane.js';
import type { IngestEvents } from './ingest.events.js';
import type { INGEST_METRICS } from './ingest.metrics.js';
import type { ResolvedIngestOptions } from './ingest.options.js';
import { decideHealth, type IngestHealth } from './operating/ingest-health.js';
import type { CloseReport, IngestStats } from './operating/ingest-report.js';
import { IngestReporter } from './operating/reporter.js';
import type { IngestReceipt } from './settling/receipt.js';
import { Courier } from './sending/courier.js';
import { Delivery } from './sending/delivery.js';
import { Pacing } from './sending/pacing.js';
import { Transport } from './sending/transport.js';
import { HookCalls } from './settling/hooks.js';
import { Ledger, totalsSince } from './settling/ledger.js';
import { SettledWaiters } from './settling/settled-waiters.js';
import { untilFirst } from './settling/tracked-call.js';

/** Requests with `wait_for` or `force` at a time: each takes as long as a commit does. */
const MAX_COMMITS_IN_FLIGHT = 64;

/**
 * Hands documents to one index and tells what became of each.
 *
 * - Every document handed in settles exactly once: accepted, discarded for a reason, or unknown. Tracked documents tell their receipt,
 *   fire-and-forget documents the hooks.
 * - Nothing is dropped to make room unless `overflow: 'discard'` says so: calls wait.
 * - Delivery is at-least-once. Give documents an id of their own; what may be there twice says `maybeDuplicate`.
 * - What is in memory when the process is killed is lost: tracked callers never saw it confirmed.
 */
export class IngestService<Doc = unknown> implements OnApplicationShutdown {
  private readonly hooks: HookCalls;
  private readonly ledger: Ledger;
  private readonly admission: Admission;
  private readonly transport: Transport;
  private readonly pacing: Pacing;
  private readonly delivery: Delivery;
  private readonly lanes: readonly [untracked: Lane, tracked: Lane];
  private readonly intake: Intake;
  private readonly settled: SettledWaiters;
  private readonly reporter: IngestReporter;
  private closing: Promise<CloseReport> | undefined;

  /** Made by IngestModule, or by hand with `resolveIngestOptions`; then call `close()` yourself. */
  constructor(
    private readonly options: ResolvedIngestOptions,
    name = 'default',
    private readonly clock: Clock = systemClock,
    random: Random = systemRandom,
  ) {
    const { concurrency, commit } = options;
    this.hooks = new HookCalls(options.hooks, options.hookTimeoutMs, name);
    this.reporter = new IngestReporter(options.index, name, this.hooks, clock);
    this.ledger = new Ledger(this.hooks, this.reporter);
    const connections = commit === 'auto' ? concurrency : concurrency + MAX_COMMITS_IN_FLIGHT;
    this.transport = new Transport({ ...options, connections });
    this.pacing = new Pacing(clock);
    this.delivery = new Delivery(options, this.transport, this.pacing, this.reporter, clock, random);
    this.lanes = this.createLanes(new Courier(options.index, this.delivery, this.ledger, this.reporter));
    const [untracked, tracked] = this.lanes;
    this.admission = new Admission(
      options,
      this.ledger,
      clock,
      (line, bytes, handle, atMs, generation) =>
        (handle === undefined ? untracked : tracked).append(line, bytes, handle, atMs, generation),
      {
        onFull: (docs, bytes) => this.reporter.full(docs, bytes),
        onWaiting: () => this.lanes.forEach((lane) => lane.pumpSoon()),
      },
    );
    this.ledger.onRelease = (docs, bytes) => this.admission.release(docs, bytes);
    this.intake = new Intake(this.admission, this.ledger);
    this.settled = new SettledWaiters(() =>
      Math.min(this.admission.oldestWaitingGeneration(), ...this.lanes.map((lane) => lane.oldestGeneration())),
    );
    this.reporter.metrics.start(() => this.gauges());
  }

  /**
   * Fire and forget. Resolves when the documents are in the buffer, or have been refused: at once while there is room, and then no promise is
   * made for it. Never rejects; what does not get through is told to `onDiscard`.
   */
  ingest(docs: Doc | readonly Doc[]): Promise<void> {
    return this.intake.enter(docs);
  }

  /**
   * Does not block the thread; like fsync, resolves when the server has every document. Has no deadline of its own.
   *
   * @throws IngestNotConfirmedError when the signal fires first, or when nobody knows what became of a document.
   * @throws IngestError when a document was discarded.
   */
  async ingestSync(docs: Doc | readonly Doc[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.intake.track(Array.isArray(docs) ? docs : [docs], options.signal).wait();
  }

  /** Hands in now, to wait later. The signal takes out what is not sent yet. Never throws. */
  ingestBatch(docs: readonly Doc[], options: { readonly signal?: AbortSignal } = {}): IngestReceipt {
    return this.intake.track(docs, options.signal);
  }

  /**
   * Resolves when everything that was handed in before has settled, however it ended. Sends it without waiting for more.
   *
   * @throws IngestNotConfirmedError when the signal fires first.
   */
  async flush(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const generation = this.admission.startGeneration();
    for (const lane of this.lanes) lane.flush(generation);
    const { bufferedDocs, waitingDocs } = this.admission;
    await untilFirst(this.settled.until(generation), [options.signal], bufferedDocs + waitingDocs);
  }

  /**
   * Admits nothing more, delivers what it has for at most `timeout`, then settles the rest: `unknown` what was sent, `closed` what was not. Safe
   * to call at any time and any number of times; all calls share the first one's result. Never throws once it has begun.
   */
  close(options: { readonly timeout?: Duration } = {}): Promise<CloseReport> {
    const timeoutMs = options.timeout === undefined ? this.options.closeTimeoutMs : parseDuration(options.timeout);
    if (timeoutMs === undefined) return Promise.reject(new TypeError('timeout must be a duration such as 5s'));
    this.intake.close();
    this.closing ??= this.runClose(timeoutMs);
    return this.closing;
  }

  stats(): IngestStats {
    const { bufferedDocs, bufferedBytes, waitingDocs } = this.admission;
    const oldestAtMs = Math.min(this.admission.oldestWaitingAtMs(), ...this.lanes.map((lane) => lane.oldestAtMs()));
    return {
      bufferedDocs,
      bufferedBytes,
      waitingDocs,
      inFlightRequests: this.transport.inFlight,
      lagMs: oldestAtMs === Infinity ? 0 : this.clock.monotonic() - oldestAtMs,
      ...this.ledger.totals(),
      requests: this.delivery.requests,
      retries: this.delivery.retries,
    };
  }

  /** What the last attempts and the buffer say: the server is not asked. Never rejects. */
  health(): Promise<IngestHealth> {
    const { waitingDocs } = this.admission;
    const facts = { isClosing: this.closing !== undefined, pausedMs: this.pacing.pausedMs, waitingDocs };
    return Promise.resolve(decideHealth({ ...facts, ...this.reporter.server.view() }, this.options.stalledAfterMs));
  }

  /** Listens to this instance; returns the function that stops listening. A listener that throws is logged. */
  on<Name extends keyof IngestEvents>(event: Name, listener: (payload: IngestEvents[Name]) => unknown): () => void {
    return this.reporter.events.on(event, listener);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.close();
  }

  private gauges(): GaugeReadings<typeof INGEST_METRICS> {
    const { bufferedDocs, bufferedBytes, waitingDocs, inFlightRequests, lagMs } = this.stats();
    return {
      'buffer.documents': bufferedDocs,
      'buffer.size': bufferedBytes,
      'waiting.documents': waitingDocs,
      'requests.in_flight': inFlightRequests,
      lag: lagMs / 1_000,
    };
  }

  private createLanes(courier: Courier): readonly [Lane, Lane] {
    const { maxBatchDocs, maxDelayMs, maxBufferBytes, concurrency, commit, hints } = this.options;
    const around: LaneSurroundings = {
      clock: this.clock,
      maxBatchBytes: () => this.delivery.maxBatchBytes(),
      isBufferFull: () => this.admission.isFull,
      deliver: (batch) => courier.deliver(batch),
      onDelivered: () => this.settled.tell(),
      onRemove: (bytes) => {
        this.admission.release(1, bytes);
        this.settled.tell();
      },
    };
    const common = { maxBatchDocs, maxDelayMs, isKickedByTracked: hints === 'on' };
    const auto = { ...common, commit: 'auto', maxInFlight: concurrency, maxInFlightBytes: Infinity } as const;
    const untracked = new Lane(auto, around);
    if (commit === 'auto') return [untracked, untracked];
    const committing = { ...common, commit, maxInFlight: MAX_COMMITS_IN_FLIGHT, maxInFlightBytes: maxBufferBytes / 2 };
    return [untracked, new Lane(committing, around)];
  }

  private async runClose(timeoutMs: number): Promise<CloseReport> {
    const startedAtMs = this.clock.monotonic();
    const before = this.ledger.totals();
    this.ledger.startCollecting();
    this.pacing.startClosing();
    for (const lane of this.lanes) lane.startClosing();
    const settled = this.settled.until(Infinity);
    const timer = setTimeout(() => this.giveUp(), timeoutMs);
    await settled;
    clearTimeout(timer);
    this.pacing.end();
    for (const lane of this.lanes) lane.stop();
    const durationMs = Math.round(this.clock.monotonic() - startedAtMs);
    const report = { ...totalsSince(before, this.ledger.totals()), durationMs };
    this.reporter.closed(report);
    await this.hooks.undelivered(this.ledger.takeUndelivered());
    await this.reporter.metrics.stop();
    await this.transport.close();
    return report;
  }

  /** The time is up: everything settles now, from the back to the front, so that the room this makes lets nothing in. */
  private giveUp(): void {
    this.pacing.end();
    this.admission.refuseWaiting('closed');
    for (const lane of this.lanes)
      for (const batch of lane.takeUnsent())
        this.ledger.settle(batch, () => ({ status: 'discarded', reason: 'closed' }));
    this.transport.cancelAll(new Error('the service was closed before the server answered'));
    this.settled.tell();
  }
}
