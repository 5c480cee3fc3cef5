import type { VirtualTimer } from '@nest-baton/testing';
import type { Dispatcher } from 'undici';
import type { ServerPlan, VirtualFault } from './schedule.js';
import type { ExchangeHost, VirtualDocument, VirtualRequest } from './virtual-request.js';

/** One request on its way through its fault. */
export class VirtualExchange {
  private readonly request: VirtualRequest;
  private readonly copy: string;
  private readonly controller: Dispatcher.DispatchController;
  private timer: VirtualTimer | undefined;
  private hasStarted = false;
  private hasEnded = false;

  constructor(
    private readonly server: ExchangeHost,
    private readonly plan: ServerPlan,
    number: number,
    private readonly body: Buffer,
    path: string,
    nowMs: number,
    private readonly handler: Dispatcher.DispatchHandler,
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

function documentsOf(text: string): VirtualDocument[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as VirtualDocument);
}
