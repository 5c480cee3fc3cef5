import { type Clock, type Duration, parseDuration, type Random, systemClock, systemRandom } from '@nest-baton/core';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Admission } from './admitting/admission.js';
import { encodeDocument } from './admitting/encode.js';
import type { WaitingCall } from './admitting/waiting-call.js';
import { Lane, type LaneSurroundings } from './batching/lane.js';
import { DEFAULT_NAME } from './ingest.module-definition.js';
import type { ResolvedIngestOptions } from './ingest.options.js';
import type { CloseReport, IngestStats } from './operating/ingest-report.js';
import type { IngestReceipt } from './settling/receipt.js';
import { Courier } from './sending/courier.js';
import { Delivery } from './sending/delivery.js';
import { Pacing } from './sending/pacing.js';
import { Transport } from './sending/transport.js';
import { HookCalls } from './settling/hooks.js';
import { Ledger, type Totals, totalsSince } from './settling/ledger.js';
import { TrackedCall, type TrackedLine, untilFirst } from './settling/tracked-call.js';

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
  private readonly logger: Logger;
  private readonly hooks: HookCalls;
  private readonly ledger: Ledger;
  private readonly admission: Admission;
  private readonly transport: Transport;
  private readonly pacing: Pacing;
  private readonly delivery: Delivery;
  private readonly lanes: readonly [untracked: Lane, tracked: Lane];
  private readonly settledWaiters = new Set<{ readonly generation: number; readonly resolve: () => void }>();
  private closing: Promise<CloseReport> | undefined;

  /** Made by IngestModule, or by hand with `resolveIngestOptions`; then call `close()` yourself. */
  constructor(
    private readonly options: ResolvedIngestOptions,
    private readonly name: string = DEFAULT_NAME,
    private readonly clock: Clock = systemClock,
    random: Random = systemRandom,
  ) {
    const { retry, concurrency, commit } = options;
    this.logger = new Logger(`IngestService:${name}`);
    this.hooks = new HookCalls(options.hooks, options.hookTimeoutMs, name);
    this.ledger = new Ledger(this.hooks);
    const connections = commit === 'auto' ? concurrency : concurrency + MAX_COMMITS_IN_FLIGHT;
    this.transport = new Transport({ ...options, connections });
    this.pacing = new Pacing(clock);
    this.delivery = new Delivery({ ...options, retry }, this.transport, this.pacing, clock, random, name);
    this.lanes = this.createLanes(new Courier(options.index, this.delivery, this.ledger, this.hooks));
    const [untracked, tracked] = this.lanes;
    this.admission = new Admission(
      options,
      this.ledger,
      clock,
      (line, bytes, handle, atMs, generation) =>
        (handle === undefined ? untracked : tracked).append(line, bytes, handle, atMs, generation),
      () => this.lanes.forEach((lane) => lane.pumpSoon()),
    );
    this.ledger.onRelease = (docs, bytes) => this.admission.release(docs, bytes);
  }

  /**
   * Fire and forget. Resolves when the documents are in the buffer, or have been refused: at once while there is room, and then no promise is
   * made for it. Never rejects; what does not get through is told to `onDiscard`.
   */
  ingest(docs: Doc | readonly Doc[]): Promise<void> {
    let waiting: WaitingCall | undefined;
    if (Array.isArray(docs)) for (const doc of docs as readonly Doc[]) waiting = this.enterUntracked(doc, waiting);
    else waiting = this.enterUntracked(docs as Doc, waiting);
    return this.admission.admittedOf(waiting);
  }

  /**
   * Does not block the thread; like fsync, resolves when the server has every document. Has no deadline of its own.
   *
   * @throws IngestNotConfirmedError when the signal fires first, or when nobody knows what became of a document.
   * @throws IngestError when a document was discarded.
   */
  async ingestSync(docs: Doc | readonly Doc[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.track(Array.isArray(docs) ? (docs as readonly Doc[]) : [docs as Doc], options.signal).wait();
  }

  /** Hands in now, to wait later. The signal takes out what is not sent yet. Never throws. */
  ingestBatch(docs: readonly Doc[], options: { readonly signal?: AbortSignal } = {}): IngestReceipt {
    return this.track(docs, options.signal);
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
    await untilFirst(this.untilSettled(generation), [options.signal], bufferedDocs + waitingDocs);
  }

  /**
   * Admits nothing more, delivers what it has for at most `timeout`, then settles the rest: `unknown` what was sent, `closed` what was not. Safe
   * to call at any time and any number of times; all calls share the first one's result. Never throws once it has begun.
   */
  close(options: { readonly timeout?: Duration } = {}): Promise<CloseReport> {
    const timeoutMs = options.timeout === undefined ? this.options.closeTimeoutMs : parseDuration(options.timeout);
    if (timeoutMs === undefined) return Promise.reject(new TypeError('timeout must be a duration such as 5s'));
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

  async onApplicationShutdown(): Promise<void> {
    await this.close();
  }

  private createLanes(courier: Courier): readonly [Lane, Lane] {
    const { maxBatchDocs, maxDelayMs, maxBufferBytes, concurrency, commit } = this.options;
    const around: LaneSurroundings = {
      clock: this.clock,
      maxBatchBytes: () => this.delivery.maxBatchBytes(),
      isBufferFull: () => this.admission.isFull,
      deliver: (batch) => courier.deliver(batch),
      onDelivered: () => this.tellSettled(),
      onRemove: (bytes) => {
        this.admission.release(1, bytes);
        this.tellSettled();
      },
    };
    const common = { maxBatchDocs, maxDelayMs };
    const auto = { ...common, commit: 'auto', maxInFlight: concurrency, maxInFlightBytes: Infinity } as const;
    const untracked = new Lane(auto, around);
    if (commit === 'auto') return [untracked, untracked];
    const committing = { ...common, commit, maxInFlight: MAX_COMMITS_IN_FLIGHT, maxInFlightBytes: maxBufferBytes / 2 };
    return [untracked, new Lane(committing, around)];
  }

  private enterUntracked(doc: Doc, waiting: WaitingCall | undefined): WaitingCall | undefined {
    if (this.closing !== undefined) {
      this.ledger.refuse(doc, 'closed', undefined, undefined);
      return waiting;
    }
    let line: string;
    try {
      line = encodeDocument(doc);
    } catch (error) {
      this.ledger.refuse(doc, 'encode', error, undefined);
      return waiting;
    }
    return this.admission.enter(line, doc, undefined, waiting);
  }

  /** Checks in the order: signal, encoding of all, closed. A call of which one document cannot be encoded sends nothing. */
  private track(docs: readonly Doc[], signal: AbortSignal | undefined): TrackedCall {
    const call = new TrackedCall(docs.length, signal);
    const refuseAll = (reason: 'aborted' | 'encode' | 'closed', causeAt: (index: number) => unknown): TrackedCall => {
      docs.forEach((doc, index) => this.ledger.refuse(doc, reason, causeAt(index), newLine(call, index)));
      return call;
    };
    if (signal?.aborted === true) return refuseAll('aborted', () => signal.reason);
    const lines: string[] = [];
    try {
      for (const doc of docs) lines.push(encodeDocument(doc));
    } catch (error) {
      const bad = lines.length;
      const sibling = new Error(`document ${bad} of the call cannot be encoded; nothing of the call was sent`);
      return refuseAll('encode', (index) => (index === bad ? error : sibling));
    }
    if (this.closing !== undefined) return refuseAll('closed', () => undefined);
    let waiting: WaitingCall | undefined;
    lines.forEach((line, index) => {
      const handle = newLine(call, index);
      call.lines.push(handle);
      waiting = this.admission.enter(line, docs[index], handle, waiting);
    });
    call.admitted = this.admission.admittedOf(waiting);
    if (signal !== undefined && !call.settled) this.takeOutOnAbort(call, signal);
    return call;
  }

  private takeOutOnAbort(call: TrackedCall, signal: AbortSignal): void {
    const takeOut = (): void => {
      // Backwards, so that the room which one makes does not let a later one of the same call in.
      for (const handle of [...call.lines].reverse()) {
        const { place, line } = handle;
        if (place === undefined) continue;
        this.ledger.refuse(undefined, 'aborted', signal.reason, handle);
        place.remove(line);
      }
    };
    signal.addEventListener('abort', takeOut, { once: true });
    call.whenSettled = () => signal.removeEventListener('abort', takeOut);
  }

  private untilSettled(generation: number): Promise<void> {
    return new Promise((resolve) => {
      this.settledWaiters.add({ generation, resolve });
      this.tellSettled();
    });
  }

  private tellSettled(): void {
    if (this.settledWaiters.size === 0) return;
    const oldest = Math.min(
      this.admission.oldestWaitingGeneration(),
      ...this.lanes.map((lane) => lane.oldestGeneration()),
    );
    for (const waiter of this.settledWaiters) {
      if (oldest !== Infinity && oldest <= waiter.generation) continue;
      this.settledWaiters.delete(waiter);
      waiter.resolve();
    }
  }

  private async runClose(timeoutMs: number): Promise<CloseReport> {
    const startedAtMs = this.clock.monotonic();
    const before = this.ledger.totals();
    this.ledger.startCollecting();
    this.pacing.startClosing();
    for (const lane of this.lanes) lane.startClosing();
    const settled = this.untilSettled(Infinity);
    const timer = setTimeout(() => this.giveUp(), timeoutMs);
    await settled;
    clearTimeout(timer);
    this.pacing.end();
    for (const lane of this.lanes) lane.stop();
    const durationMs = Math.round(this.clock.monotonic() - startedAtMs);
    const report = { ...totalsSince(before, this.ledger.totals()), durationMs };
    this.logClosed(report);
    await this.hooks.undelivered(this.ledger.takeUndelivered());
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
    this.tellSettled();
  }

  private logClosed(report: Totals & { readonly durationMs: number }): void {
    const { index } = this.options;
    if (report.unknown === 0 && Object.keys(report.discarded).length === 0)
      this.logger.log('closed', { index, name: this.name, ...report });
    else this.logger.warn('closed with documents that are not on the server', { index, name: this.name, ...report });
  }
}

function newLine(call: TrackedCall, index: number): TrackedLine {
  return { call, index, place: undefined, line: 0 };
}
