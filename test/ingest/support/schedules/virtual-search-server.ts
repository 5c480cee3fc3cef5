import type { VirtualClock, VirtualTimer } from '@nest-baton/testing';
import { Dispatcher } from 'undici';
import type { ServerPlan } from './schedule.js';
import { VirtualExchange } from './virtual-exchange.js';
import type { ExchangeHost, VirtualDocument, VirtualRequest } from './virtual-request.js';

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
export class VirtualSearchServer extends Dispatcher implements ExchangeHost {
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

function bytesOf(body: Dispatcher.DispatchOptions['body']): Buffer {
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError('the body must be bytes: its length has to be known');
}
