import type { VirtualClock, VirtualTimer } from '@nest-baton/testing';
import { Dispatcher } from 'undici';
import type { ServerPlan, VirtualFault } from './schedule.js';

/** What a document says about itself. */
export interface VirtualDocument {
  readonly uid: number;
  readonly kind?: 'poison' | 'bad';
}

/** A request as the dispatcher got it. */
export interface VirtualRequest {
  readonly number: number;
  readonly docs: readonly VirtualDocument[];
  readonly bytes: number;
  readonly commit: string | null;
  readonly isDetailed: boolean;
  readonly dispatchedAtMs: number;
}

/** What the server knows of one document, whatever the client thinks. */
export interface Facts {
  /** Requests whose first byte may have been sent. */
  sent: number;
  stored: number;
  /** Of those sent: ended without an answer that says what became of it. */
  ambiguous: number;
}

export interface ServerWatcher {
  /** A request begins: from now on it may reach the server. */
  onStart(request: VirtualRequest): void;
  onEnd(request: VirtualRequest): void;
  onPause(ms: number): void;
  violation(what: string): void;
}

type Handler = Dispatcher.DispatchHandler;

/**
 * A search server without a network, in virtual time: undici's dispatcher, as `IngestOptions.dispatcher` takes it.
 *
 * - It calls its handler as undici does: synchronously from `dispatch` or later, once to its end, and an abort ends it with an error.
 * - It knows of every document how often it was sent, stored, and left without an answer: the truth that outcomes are compared with.
 * - `pendingTimers` are its own, so that those that the client leaves behind can be told.
 */
export class VirtualSearchServer extends Dispatcher {
  readonly open = new Set<VirtualRequest>();
  /** Uids in the order in which they were stored, with duplicates. */
  readonly store: number[] = [];
  requests = 0;
  private readonly timers = new Set<VirtualTimer>();
  private readonly known = new Map<number, Facts>();

  constructor(
    private readonly plan: ServerPlan,
    private readonly clock: VirtualClock,
    private readonly watcher: ServerWatcher,
  ) {
    super();
  }

  factsOf(uid: number): Facts {
    let facts = this.known.get(uid);
    if (facts === undefined) this.known.set(uid, (facts = { sent: 0, stored: 0, ambiguous: 0 }));
    return facts;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Handler): boolean {
    const number = this.requests++;
    const nowMs = this.clock.monotonic();
    const { faults, healsAt } = this.plan;
    const fault = nowMs >= healsAt ? undefined : (faults[number % faults.length] ?? undefined);
    new VirtualExchange(this, this.plan, number, bytesOf(options.body), String(options.path), nowMs, handler).begin(
      fault,
    );
    return true;
  }

  get pendingTimers(): number {
    return this.timers.size;
  }

  later(ms: number, run: () => void): VirtualTimer {
    const timer = this.clock.setTimeout(() => {
      this.timers.delete(timer);
      run();
    }, ms);
    this.timers.add(timer);
    return timer;
  }

  cancel(timer: VirtualTimer | undefined): void {
    if (timer !== undefined && this.timers.delete(timer)) timer.close();
  }

  started(request: VirtualRequest): void {
    this.open.add(request);
    for (const { uid } of request.docs) this.factsOf(uid).sent++;
    this.watcher.onStart(request);
  }

  ended(request: VirtualRequest, isAmbiguous: boolean): void {
    this.open.delete(request);
    if (isAmbiguous) for (const { uid } of request.docs) this.factsOf(uid).ambiguous++;
    this.watcher.onEnd(request);
  }

  keep(docs: readonly VirtualDocument[]): void {
    for (const { uid } of docs) {
      this.factsOf(uid).stored++;
      this.store.push(uid);
    }
  }

  paused(ms: number): void {
    this.watcher.onPause(ms);
  }

  violation(what: string): void {
    this.watcher.violation(what);
  }
}

/** One request on its way through its fault. */
class VirtualExchange {
  private readonly request: VirtualRequest;
  private readonly copy: string;
  private readonly controller: Dispatcher.DispatchController;
  private timer: VirtualTimer | undefined;
  private hasStarted = false;
  private hasEnded = false;

  constructor(
    private readonly server: VirtualSearchServer,
    private readonly plan: ServerPlan,
    number: number,
    private readonly body: Buffer,
    path: string,
    nowMs: number,
    private readonly handler: Handler,
  ) {
    this.copy = body.toString('utf8');
    const query = new URL(path, 'http://localhost').searchParams;
    this.request = {
      number,
      docs: documentsOf(this.copy),
      bytes: body.length,
      commit: query.get('commit'),
      isDetailed: query.get('detailed_response') === 'true',
      dispatchedAtMs: nowMs,
    };
    this.controller = new AbortingController((reason) => this.abort(reason));
  }

  begin(fault: VirtualFault | undefined): void {
    if (fault?.kind === 'refused') return this.after(1, () => this.fail(new Error('ECONNREFUSED'), false));
    // As a request that waits for a connection which is never made: only the client ends that.
    if (fault?.kind === 'never_starts') return this.after(100_000, () => this.fail(new Error('no connection'), false));
    if (fault?.kind === 'slow_start') return this.after(fault.ms, () => this.start(undefined));
    this.start(fault);
  }

  private start(fault: VirtualFault | undefined): void {
    this.handler.onRequestStart?.(this.controller, {});
    if (this.hasEnded) return;
    this.hasStarted = true;
    this.server.started(this.request);
    const { latencies, healsAt } = this.plan;
    const isWell = healsAt > 0 && this.request.dispatchedAtMs >= healsAt;
    const latency = isWell ? 1 : (latencies[this.request.number % latencies.length] ?? 1);
    if (fault?.kind === 'hang') {
      if (fault.stores) this.server.later(fault.lateMs, () => void this.process());
      return;
    }
    this.after(latency, () => this.arrived(fault));
  }

  private arrived(fault: VirtualFault | undefined): void {
    // What was on its way must not have been written over: a body belongs to its request until that ends.
    if (this.body.toString('utf8') !== this.copy)
      this.server.violation(`the body of request ${this.request.number} changed`);
    switch (fault?.kind) {
      case undefined:
        return this.answer(this.process());
      case 'slow_body': {
        const { status, body } = this.process();
        this.head(status);
        return this.after(fault.ms, () => this.tail(body, false));
      }
      case 'status': {
        if (fault.stores === true) this.process();
        const message = { message: `scripted ${fault.status}` };
        return this.answer(
          { status: fault.status, body: message },
          fault.retryAfter,
          fault.status === 502 || fault.status === 504,
        );
      }
      case 'reset':
        if (fault.stores) this.process();
        return this.fail(new Error('ECONNRESET'), true);
      case 'truncated':
        return this.truncate(fault);
      case 'hang':
      case 'refused':
      case 'never_starts':
      case 'slow_start':
        return;
    }
  }

  private truncate({ how, stores }: Extract<VirtualFault, { kind: 'truncated' }>): void {
    // A refusal that is cut is a refusal; only of a success nobody knows what it would have said.
    const { status, body } = this.judge();
    if (status !== 200) return this.answer({ status, body });
    if (stores) this.process();
    const text = JSON.stringify(body);
    if (how === 'counts')
      return this.answer({ status, body: { num_docs_for_processing: this.request.docs.length + 1 } }, undefined, true);
    this.head(200);
    if (how === 'short_json') return this.tail(text.slice(0, -3), true);
    this.handler.onResponseData?.(this.controller, Buffer.from(text.slice(0, 4)));
    this.fail(new Error('other side closed'), true);
  }

  /** The server's answer to the documents; stores nothing. */
  private judge(): { readonly status: number; readonly body: object } {
    const { docs, isDetailed, bytes } = this.request;
    const { limitBytes, details, sayPoison } = this.plan;
    if (bytes > limitBytes) return { status: 413, body: { message: 'payload too large' } };
    if (details === 'old' && isDetailed) return { status: 400, body: { message: 'unknown parameter' } };
    const poison = docs.find(({ kind }) => kind === 'poison');
    if (poison !== undefined)
      return { status: 400, body: { message: sayPoison === 'same' ? 'poison' : `poison ${poison.uid}` } };
    if (details === 'old') return { status: 200, body: { num_docs_for_processing: docs.length } };
    const bad = docs.filter(({ kind }) => kind === 'bad');
    const lines = this.copy.split('\n');
    const failures = docs.flatMap(({ kind }, i) =>
      kind === 'bad' ? [{ message: 'bad', document: lines[i] ?? '', reason: 'invalid_schema' }] : [],
    );
    const counts = {
      num_docs_for_processing: docs.length,
      num_ingested_docs: docs.length - bad.length,
      num_rejected_docs: bad.length,
    };
    return { status: 200, body: details === 'named' && isDetailed ? { ...counts, parse_failures: failures } : counts };
  }

  private process(): { readonly status: number; readonly body: object } {
    const answer = this.judge();
    if (answer.status === 200)
      this.server.keep(this.request.docs.filter(({ kind }) => kind !== 'bad' || this.plan.details === 'old'));
    return answer;
  }

  private answer(
    { status, body }: { readonly status: number; readonly body: object },
    retryAfter?: string,
    isAmbiguous = false,
  ): void {
    this.head(status, retryAfter);
    this.tail(JSON.stringify(body), isAmbiguous);
    if (Number(retryAfter) > 0) this.server.paused(Number(retryAfter) * 1_000);
  }

  private head(status: number, retryAfter?: string): void {
    const headers: Record<string, string> = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
    this.handler.onResponseStart?.(this.controller, status, headers);
  }

  private tail(body: string | object, isAmbiguous: boolean): void {
    this.handler.onResponseData?.(this.controller, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
    this.end(isAmbiguous);
    this.handler.onResponseEnd?.(this.controller, {});
  }

  private fail(error: Error, isAmbiguous: boolean): void {
    this.end(isAmbiguous);
    this.handler.onResponseError?.(this.controller, error);
  }

  private abort(reason: Error): void {
    if (this.hasEnded) return;
    this.server.cancel(this.timer);
    this.end(this.hasStarted);
    queueMicrotask(() => this.handler.onResponseError?.(this.controller, reason));
  }

  private end(isAmbiguous: boolean): void {
    this.hasEnded = true;
    if (this.hasStarted) this.server.ended(this.request, isAmbiguous);
  }

  private after(ms: number, run: () => void): void {
    this.timer = this.server.later(ms, run);
  }
}

class AbortingController implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders = null;
  rawTrailers = null;

  constructor(private readonly onAbort: (reason: Error) => void) {}

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.onAbort(reason);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

function bytesOf(body: Dispatcher.DispatchOptions['body']): Buffer {
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError('the body must be bytes: its length has to be known');
}

function documentsOf(text: string): VirtualDocument[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as VirtualDocument);
}
