import { type IngestReceipt, IngestService, type IngestStats, resolveIngestOptions } from '@nest-baton/ingest';
import { VirtualClock } from '@nest-baton/testing';
import { Delays } from './delays.js';
import { checkRequest, type Pause } from './request-checks.js';
import type { PlannedAction, PlannedDocument, Schedule } from './schedule.js';
import type { VirtualRequest } from './virtual-request.js';
import { VirtualSearchServer } from './virtual-search-server.js';

/** A document as it was handed in. */
export interface HandedIn {
  readonly uid: number;
  readonly kind: PlannedDocument['kind'];
  readonly isTracked: boolean;
  readonly atMs: number;
}

/** One call and what came back. */
export interface Call {
  readonly uids: readonly number[];
  readonly receipt?: IngestReceipt;
  readonly signal?: AbortSignal;
  /** Of `ingestSync`: `undefined` while nothing has come back. */
  result?: { readonly error: unknown };
}

type Doc = Record<string, unknown> & { readonly uid: number };

/** Longest time, in virtual milliseconds, that everything may take once the server is well. */
const DRAIN_MS = 240_000;
/** A service that calls itself back for ever is a user's bug. */
const MOST_CALLS_FROM_HOOKS = 3;

/** Plays one schedule and collects everything that should not be. Nothing in it takes real time. */
export class ScheduleRun {
  readonly violations: string[] = [];
  readonly docs = new Map<number, HandedIn>();
  readonly calls: Call[] = [];
  readonly discarded = new Map<number, string[]>();
  readonly undelivered = new Map<number, number>();
  readonly signals: AbortSignal[] = [];
  readonly server: VirtualSearchServer;
  readonly service: IngestService<Doc>;
  maybeDuplicates = 0;
  private readonly clock = new VirtualClock();
  private readonly delays: Delays;
  private readonly agenda: { readonly at: number; readonly run: () => void }[] = [];
  private readonly inFlight = new Map<number, number>();
  private readonly pauses: Pause[] = [];
  private pendingPromises = 0;
  private callsFromHooks = 0;
  private closing: { readonly atMs: number; endedAtMs: number | undefined } | undefined;

  constructor(
    readonly schedule: Schedule,
    random: () => number,
  ) {
    const { options, authMs, server } = schedule;
    this.delays = new Delays(schedule);
    this.server = new VirtualSearchServer(server, this.clock, {
      onStart: (request) => this.started(request),
      onEnd: (request) => this.ended(request),
      onPause: (ms) => void this.pauses.push({ fromMs: this.clock.monotonic(), untilMs: this.clock.monotonic() + ms }),
      violation: (what) => this.violation(what),
    });
    const auth = authMs < 0 ? undefined : async () => (await this.sleep(authMs), { authorization: 'a' });
    const given = { url: 'http://search.invalid:7280', index: 'logs', dispatcher: this.server, ...(auth && { auth }) };
    this.service = new IngestService<Doc>(
      resolveIngestOptions({ ...options, ...given, hooks: this.hooks() }),
      'default',
      this.clock,
      random,
    );
    this.service.on('batchSettled', (batch) => {
      this.maybeDuplicates += batch.maybeDuplicates;
      this.behave();
    });
  }

  async play(): Promise<void> {
    const giveBack = this.clock.takeOverTimers();
    try {
      for (const action of this.schedule.actions) {
        await this.until(action.at);
        if (action.turn) await this.clock.advance(0);
        this.perform(action);
        this.checkBounds();
      }
      await this.until(Math.max(this.clock.monotonic(), this.schedule.server.healsAt));
      if (this.closing === undefined) await this.drain();
      await this.end();
    } finally {
      giveBack();
    }
  }

  violation(what: string): void {
    this.violations.push(`at ${this.clock.monotonic()} ms: ${what}`);
  }

  /** Time passes; what the agenda says is done on the way. */
  private async until(at: number): Promise<void> {
    for (let due = this.nextDue(at); due !== undefined; due = this.nextDue(at)) {
      await this.advance(due.at - this.clock.monotonic());
      due.run();
    }
    await this.advance(at - this.clock.monotonic());
  }

  private nextDue(at: number): { readonly at: number; readonly run: () => void } | undefined {
    let best = -1;
    this.agenda.forEach((entry, i) => {
      if (entry.at <= at && (best < 0 || entry.at < (this.agenda[best]?.at ?? 0))) best = i;
    });
    return best < 0 ? undefined : this.agenda.splice(best, 1)[0];
  }

  private async advance(ms: number): Promise<void> {
    if (ms > 0) await this.clock.advance(ms);
    this.checkBounds();
    this.checkSums();
  }

  private perform(action: PlannedAction): void {
    switch (action.do) {
      case 'ingest':
        return this.ingest(action.docs);
      case 'sync':
        return this.sync(action.docs, this.signalOf(action.abortAfter));
      case 'batch':
        return this.batch(action.docs, this.signalOf(action.abortAfter), this.signalOf(action.waitAbortAfter));
      case 'flush':
        return this.flush(this.signalOf(action.abortAfter));
      case 'jump':
        return this.clock.jump(action.ms);
      case 'close':
        return this.close(action.timeout);
    }
  }

  private ingest(planned: readonly PlannedDocument[]): void {
    const docs = this.handIn(planned, false);
    this.observe('ingest', this.service.ingest(docs.length === 1 && docs[0] !== undefined ? docs[0] : docs), () =>
      this.violation('ingest() rejected'),
    );
  }

  private sync(planned: readonly PlannedDocument[], signal: AbortSignal | undefined): void {
    const docs = this.handIn(planned, true);
    const call: Call = { uids: docs.map(({ uid }) => uid), ...(signal && { signal }) };
    this.calls.push(call);
    const told = this.service.ingestSync(docs, signal === undefined ? {} : { signal });
    this.observe(
      'ingestSync',
      told.then(() => void (call.result = { error: undefined })),
      (error) => (call.result = { error }),
    );
  }

  private batch(planned: readonly PlannedDocument[], signal?: AbortSignal, waitSignal?: AbortSignal): void {
    const docs = this.handIn(planned, true);
    const receipt = this.service.ingestBatch(docs, signal === undefined ? {} : { signal });
    this.calls.push({ uids: docs.map(({ uid }) => uid), receipt, ...(signal && { signal }) });
    this.observe('admitted', receipt.admitted, () => this.violation('admitted rejected'));
    this.observe('outcomes', receipt.outcomes, () => this.violation('outcomes rejected'));
    this.observe('wait', receipt.wait(waitSignal === undefined ? {} : { signal: waitSignal }), (error) => {
      if (waitSignal?.aborted !== true && !receipt.settled && signal?.aborted !== true)
        this.violation(`wait() ended before the receipt had settled: ${String(error)}`);
    });
  }

  private flush(signal?: AbortSignal): void {
    const before = this.calls.filter(({ receipt }) => receipt !== undefined);
    const told = this.service.flush(signal === undefined ? {} : { signal }).then(() => {
      if (before.some(({ receipt }) => receipt?.settled === false))
        this.violation('flush() ended before what came before it');
    });
    this.observe('flush', told, (error) => {
      if (signal?.aborted !== true) this.violation(`flush() rejected without a signal: ${String(error)}`);
    });
  }

  private close(timeout: number): void {
    const mine = this.closing ?? { atMs: this.clock.monotonic(), endedAtMs: undefined, timeout };
    const isFirst = this.closing === undefined;
    this.closing = mine;
    const told = this.service.close({ timeout }).then(() => {
      if (!isFirst) return;
      mine.endedAtMs = this.clock.monotonic();
      const { hookTimeout } = this.schedule.options;
      if (mine.endedAtMs - mine.atMs > timeout + Number(hookTimeout) + 2) this.violation('close() took too long');
      const { bufferedDocs, bufferedBytes, waitingDocs, inFlightRequests } = this.service.stats();
      if (bufferedDocs + bufferedBytes + waitingDocs + inFlightRequests !== 0) this.violation('close() left something');
      if (this.calls.some(({ receipt }) => receipt?.settled === false)) this.violation('close() left a receipt');
    });
    this.observe('close', told, (error) => this.violation(`close() rejected: ${String(error)}`));
  }

  /** With a server that is well, everything settles without being flushed. */
  private async drain(): Promise<void> {
    const untilMs = this.clock.monotonic() + DRAIN_MS;
    while (this.closing === undefined && this.isBusy()) {
      const isMoving = await this.clock.advanceToNextTimer();
      this.checkBounds();
      this.checkSums();
      if (!isMoving && this.isBusy())
        return this.violation(`stuck: ${this.described()}, and no timer that could move it`);
      if (this.clock.monotonic() > untilMs)
        return this.violation(`not drained after ${DRAIN_MS} ms: ${this.described()}`);
    }
  }

  private async end(): Promise<void> {
    const wasClosing = this.closing !== undefined;
    const before = this.service.stats();
    this.close(5_000);
    while (this.closing?.endedAtMs === undefined && (await this.clock.advanceToNextTimer())) this.checkBounds();
    if (this.closing?.endedAtMs === undefined) this.violation('close() never ended');
    const { accepted, unknown, discarded } = this.service.stats();
    const isSame =
      accepted === before.accepted && unknown === before.unknown && sum(discarded) === sum(before.discarded);
    if (!wasClosing && this.violations.length === 0 && !isSame)
      this.violation('close() found something after everything had drained');
    await this.clock.advance(0);
    this.checkSums();
    const left = this.clock.pendingTimers - this.server.pendingTimers;
    if (left > 0) this.violation(`${left} timers left after close()`);
    if (this.pendingPromises > 0) this.violation(`${this.pendingPromises} promises left after close()`);
    // What the server does with requests that nobody waits for any more.
    await this.clock.advance(200_000);
    this.checkSums();
  }

  private isBusy(): boolean {
    const { bufferedDocs, waitingDocs } = this.service.stats();
    return bufferedDocs + waitingDocs > 0 || this.calls.some(({ receipt }) => receipt?.settled === false);
  }

  private described(): string {
    const { bufferedDocs, waitingDocs, inFlightRequests } = this.service.stats();
    return `${bufferedDocs} buffered, ${waitingDocs} waiting, ${inFlightRequests} requests`;
  }

  private handIn(planned: readonly PlannedDocument[], isTracked: boolean): Doc[] {
    return planned.map(({ pad, kind }) => {
      const uid = this.docs.size;
      this.docs.set(uid, { uid, kind, isTracked, atMs: this.clock.monotonic() });
      const padding = pad > 0 ? { pad: 'x'.repeat(pad) } : {};
      return { uid, ...(kind && { kind }), ...padding, ...(kind === 'unencodable' && { number: 1n }) };
    });
  }

  private signalOf(abortAfter: number | undefined): AbortSignal | undefined {
    if (abortAfter === undefined) return undefined;
    const abort = new AbortController();
    this.signals.push(abort.signal);
    if (abortAfter < 0) abort.abort();
    else this.agenda.push({ at: this.clock.monotonic() + abortAfter, run: () => abort.abort() });
    return abort.signal;
  }

  private observe(what: string, promise: Promise<unknown>, onError: (error: unknown) => void): void {
    this.pendingPromises++;
    promise.then(
      () => this.pendingPromises--,
      (error: unknown) => {
        this.pendingPromises--;
        const code = (error as { code?: string } | undefined)?.code;
        if (code !== 'INGEST_DISCARDED' && code !== 'INGEST_NOT_CONFIRMED') this.violation(`${what}: ${String(error)}`);
        onError(error);
      },
    );
  }

  private hooks() {
    return {
      onDiscard: (doc: unknown, reason: string): void => {
        const { uid } = doc as Doc;
        this.discarded.set(uid, [...(this.discarded.get(uid) ?? []), reason]);
        this.behave();
      },
      onReject: (): void => this.behave(),
      onUndelivered: async (docs: readonly unknown[]): Promise<void> => {
        for (const { uid } of docs as readonly Doc[]) this.undelivered.set(uid, (this.undelivered.get(uid) ?? 0) + 1);
        this.behave();
        if (this.schedule.hooks === 'never_end') await new Promise(() => undefined);
      },
    };
  }

  /** Whoever is told calls back, or fails. */
  private behave(): void {
    const { hooks } = this.schedule;
    if (hooks === 'throw') throw new Error('a hook that fails');
    if (hooks === 'quiet' || hooks === 'never_end' || ++this.callsFromHooks > MOST_CALLS_FROM_HOOKS) return;
    if (hooks === 'ingest') this.ingest([{ pad: 0 }, { pad: 10 }]);
    if (hooks === 'batch') this.batch([{ pad: 0 }, { pad: 10 }]);
    if (hooks === 'flush') this.flush();
    if (hooks === 'close') this.close(100);
  }

  private sleep(ms: number): Promise<void> {
    return ms > 0 ? new Promise((resolve) => void this.server.later(ms, resolve)) : Promise.resolve();
  }

  private started(request: VirtualRequest): void {
    const mayBePaused = this.closing === undefined;
    checkRequest(this.schedule, request, this.server.open, mayBePaused ? this.pauses : [], (what) =>
      this.violation(what),
    );
    for (const { uid } of request.docs) {
      const already = this.inFlight.get(uid);
      if (already !== undefined)
        this.violation(`document ${uid} is in the requests ${already} and ${request.number} at once`);
      this.inFlight.set(uid, request.number);
      const doc = this.docs.get(uid);
      if (doc === undefined) this.violation(`document ${uid} was never handed in`);
      else if (request.commit !== null && !doc.isTracked)
        this.violation(`untracked document ${uid} waits for a commit`);
      else if (doc.isTracked && (request.commit ?? 'auto') !== this.schedule.options.commit)
        this.violation(`wrong commit for ${uid}`);
      else this.delays.check(doc, this.clock.monotonic(), (what) => this.violation(what));
    }
    this.delays.busy(this.server.open.size, this.clock.monotonic());
    for (const { uids, receipt } of this.calls)
      if (receipt?.settled === true && uids.some((uid) => this.inFlight.get(uid) === request.number))
        this.violation(`request ${request.number} sends a document that has settled`);
    this.checkBounds();
  }

  private ended(request: VirtualRequest): void {
    for (const { uid } of request.docs) if (this.inFlight.get(uid) === request.number) this.inFlight.delete(uid);
    this.delays.free(this.server.open.size, this.clock.monotonic());
    this.checkBounds();
  }

  private checkBounds(): void {
    const { maxBufferDocs = 0, maxBufferBytes = 0 } = this.schedule.options;
    const { bufferedDocs, bufferedBytes, waitingDocs } = this.service.stats();
    const isOver = bufferedDocs > maxBufferDocs || bufferedBytes > maxBufferBytes || waitingDocs > maxBufferDocs;
    const isUnder = bufferedDocs < 0 || bufferedBytes < 0 || waitingDocs < 0;
    if (isOver || isUnder)
      this.violation(`buffer: ${bufferedDocs} documents, ${bufferedBytes} bytes, ${waitingDocs} waiting`);
  }

  /** Holds between turns only: within one, a batch may be half told. */
  private checkSums(): void {
    const stats: IngestStats = this.service.stats();
    const settled = stats.accepted + stats.unknown + sum(stats.discarded);
    const known = settled + stats.bufferedDocs + stats.waitingDocs;
    if (known !== this.docs.size)
      this.violation(`${this.docs.size} documents handed in, ${known} accounted for: ${JSON.stringify(stats)}`);
  }
}

function sum(counts: Readonly<Partial<Record<string, number>>>): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
}
