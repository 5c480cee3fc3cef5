import {
  type Backoff,
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
import { DocumentForm } from './admitting/document-form.js';
import { Intake } from './admitting/intake.js';
import { IngestRoom } from './admitting/shared-buffer.js';
import { Lane, type LaneSurroundings } from './batching/lane.js';
import type { IngestEvents } from './ingest.events.js';
import type { INGEST_METRICS } from './ingest.metrics.js';
import type { ResolvedIngestOptions } from './ingest.options.js';
import { decideHealth, type IngestHealth } from './operating/ingest-health.js';
import type { CloseReport, IngestStats } from './operating/ingest-report.js';
import { IngestReporter } from './operating/reporter.js';
import { RequestSpans } from './operating/request-spans.js';
import { type IngestProtocol, protocolOf } from './protocols/protocol.js';
import { AdaptiveConcurrency } from './pacing/adaptive-concurrency.js';
import { Circuit } from './pacing/circuit.js';
import { Courier } from './sending/courier.js';
import { Delivery } from './sending/delivery.js';
import { Pacing } from './pacing/pacing.js';
import { Transport } from './sending/transport.js';
import { untilFirst } from './settling/call-error.js';
import { HookCalls } from './settling/hooks.js';
import { Ledger, totalsSince } from './settling/ledger.js';
import type { IngestReceipt } from './settling/receipt.js';
import { SettledWaiters } from './settling/settled-waiters.js';

/** Requests with `wait_for` or `force` at a time: each takes as long as a commit does. */
const MAX_COMMITS_IN_FLIGHT = 64;

/**
 * Between two probes of a server that does not want our requests, in milliseconds: each is a whole batch. Below the time for which a denial holds
 * health down.
 */
const MAX_PROBE_DELAY_MS = 10_000;

/** Beyond the longest attempt, in milliseconds: a probe that takes longer is lost. */
const PROBE_SPARE_MS = 10_000;

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
  private readonly protocol: IngestProtocol;
  private readonly transport: Transport;
  private readonly concurrency: AdaptiveConcurrency;
  private readonly circuit: Circuit;
  private readonly pacing: Pacing;
  private readonly delivery: Delivery;
  private readonly lanes: readonly [untracked: Lane, tracked: Lane];
  private readonly intake: Intake;
  private readonly settled: SettledWaiters;
  private readonly reporter: IngestReporter;
  private closing: Promise<CloseReport> | undefined;

  /**
   * Made by IngestModule, or by hand with `resolveIngestOptions`; then call `close()` yourself.
   *
   * @param room that it shares with the other indexes of its root.
   */
  constructor(
    private readonly options: ResolvedIngestOptions,
    name = 'default',
    private readonly clock: Clock = systemClock,
    random: Random = systemRandom,
    room: IngestRoom = new IngestRoom(options, 1),
  ) {
    this.hooks = new HookCalls(options.hooks, options.hookTimeoutMs, name);
    this.reporter = new IngestReporter(options.index, name, this.hooks, clock);
    this.ledger = new Ledger(this.hooks, this.reporter);
    this.protocol = protocolOf(options.protocol, options.documentId !== undefined);
    this.concurrency = new AdaptiveConcurrency(options.concurrency, clock);
    this.circuit = new Circuit(probeBackoff(options), clock, random, longestAttemptMs(options) + PROBE_SPARE_MS);
    this.pacing = new Pacing(clock, this.concurrency, this.circuit);
    this.transport = new Transport({ ...options, protocol: this.protocol, connections: maxConnections(options) });
    const spans = new RequestSpans(name, options.index, options.url, options.protocol);
    const { protocol, transport, concurrency, circuit, pacing, reporter } = this;
    const around = { protocol, transport, concurrency, circuit, pacing, reporter, spans, clock, random };
    this.delivery = new Delivery(options, around);
    this.lanes = this.createLanes(new Courier(options.index, this.delivery, this.ledger, reporter));
    this.admission = this.createAdmission(room);
    this.ledger.onRelease = (docs, bytes) => this.admission.release(docs, bytes);
    const form = new DocumentForm({ ...options, protocol });
    this.intake = new Intake(form, this.admission, this.ledger, () => spans.callerContext());
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
  ingestSync(docs: Doc | readonly Doc[], { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const isMany = Array.isArray(docs);
    if (!isMany && signal === undefined) return this.intake.enterLone(docs);
    return this.intake.track(isMany ? docs : [docs], signal).wait();
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
    await untilFirst(this.settled.until(generation, options.signal), [options.signal], bufferedDocs + waitingDocs);
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
      concurrencyLimit: this.concurrency.limit,
      circuit: this.circuit.isOpen ? 'open' : 'closed',
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
    const { bufferedDocs, bufferedBytes, waitingDocs, inFlightRequests, concurrencyLimit, circuit, lagMs } =
      this.stats();
    return {
      'buffer.documents': bufferedDocs,
      'buffer.size': bufferedBytes,
      'waiting.documents': waitingDocs,
      'requests.in_flight': inFlightRequests,
      'concurrency.limit': concurrencyLimit,
      'circuit.open': circuit === 'open' ? 1 : 0,
      lag: lagMs / 1_000,
    };
  }

  private createAdmission({ buffer, queue }: IngestRoom): Admission {
    const [untracked, tracked] = this.lanes;
    const rooms = {
      buffer: buffer.join(() => this.admission.admitWaiting()),
      queue: queue.join(() => undefined),
      largestBytes: buffer.largestShareBytes,
    };
    return new Admission(
      this.options.overflow,
      rooms,
      this.ledger,
      this.clock,
      (head, line, atMost, owner, position, generation, arrivedAtMs) => {
        const lane = owner === undefined ? untracked : tracked;
        return lane.append(head, line, atMost, owner, position, generation, arrivedAtMs);
      },
      {
        onFull: (docs, bytes) => this.reporter.full(docs, bytes),
        onWaiting: () => this.lanes.forEach((lane) => lane.pumpSoon()),
        onTakenOut: () => this.settled.tell(),
      },
    );
  }

  private createLanes(courier: Courier): readonly [Lane, Lane] {
    const { maxBatchDocs, maxDelayMs, maxBufferBytes, commit, hints } = this.options;
    const around: LaneSurroundings = {
      clock: this.clock,
      maxInFlight: () => this.concurrency.limit,
      maxBatchBytes: () => this.delivery.maxBatchBytes(),
      isBufferFull: () => this.admission.isFull,
      deliver: (batch) => courier.deliver(batch),
      onDelivered: () => this.settled.tell(),
      onTakenOut: (docs, bytes) => {
        this.admission.release(docs, bytes);
        this.settled.tell();
      },
    };
    const headed = this.protocol.head(undefined) !== '';
    const common = { maxBatchDocs, maxDelayMs, headed, isKickedByTracked: hints === 'on' };
    const untracked = new Lane({ ...common, commit: 'auto', maxInFlightBytes: Infinity }, around);
    if (commit === 'auto') return [untracked, untracked];
    const committing = { ...around, maxInFlight: () => MAX_COMMITS_IN_FLIGHT };
    return [untracked, new Lane({ ...common, commit, maxInFlightBytes: maxBufferBytes / 2 }, committing)];
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
    this.pacing.stop();
    for (const lane of this.lanes) lane.stop();
    const durationMs = Math.round(this.clock.monotonic() - startedAtMs);
    const report = { ...totalsSince(before, this.ledger.totals()), durationMs };
    this.reporter.closed(report);
    this.hooks.undelivered(this.ledger.takeUndelivered());
    await this.hooks.whenIdle();
    await this.reporter.metrics.stop();
    await this.transport.close();
    return report;
  }

  /** The time is up: everything settles now, from the back to the front, so that the room this makes lets nothing in. */
  private giveUp(): void {
    this.pacing.stop();
    this.admission.refuseWaiting('closed');
    for (const lane of this.lanes)
      for (const batch of lane.takeUnsent()) this.ledger.settleAll(batch, { status: 'discarded', reason: 'closed' });
    this.transport.cancelAll(new Error('the service was closed before the server answered'));
    this.settled.tell();
  }
}

function probeBackoff({ retry }: ResolvedIngestOptions): Backoff {
  return { ...retry, capMs: Math.max(retry.capMs, MAX_PROBE_DELAY_MS) };
}

function longestAttemptMs({ requestTimeoutMs, commitTimeoutMs }: ResolvedIngestOptions): number {
  return Math.max(requestTimeoutMs, commitTimeoutMs);
}

function maxConnections({ concurrency, commit }: ResolvedIngestOptions): number {
  return commit === 'auto' ? concurrency.max : concurrency.max + MAX_COMMITS_IN_FLIGHT;
}
