import type { SpanContext } from '@opentelemetry/api';
import type { Ledger } from '../settling/ledger.js';
import { LoneCall } from '../settling/lone-call.js';
import type { DiscardReason } from '../settling/receipt.js';
import { TrackedCall } from '../settling/tracked-call.js';
import type { Admission } from './admission.js';
import { type DocumentForm, RefusedDocument } from './document-form.js';
import { encodeDocument } from './encode.js';
import type { WaitingCall } from './waiting-call.js';

/**
 * Brings what is handed in into its form and to the buffer's door.
 *
 * - Fire-and-forget documents go one by one: one that cannot be encoded, or is invalid, is refused alone. No promise, closure or handle is made
 *   for them while there is room.
 * - A tracked call of which one document is refused so sends nothing.
 */
export class Intake {
  private isClosed = false;

  constructor(
    private readonly form: DocumentForm,
    private readonly admission: Admission,
    private readonly ledger: Ledger,
    private readonly callerContext: () => SpanContext | undefined,
  ) {}

  /** From here on everything is refused with `closed`. */
  close(): void {
    this.isClosed = true;
  }

  /** The promise of the room that it waits for. */
  enter(docs: unknown): Promise<void> {
    let waiting: WaitingCall | undefined;
    if (Array.isArray(docs))
      for (const doc of docs as readonly unknown[]) waiting = this.enterOne(doc, undefined, waiting);
    else waiting = this.enterOne(docs, undefined, waiting);
    return this.admission.admittedOf(waiting);
  }

  /** One document that somebody waits for, without a signal. */
  enterLone(doc: unknown): Promise<void> {
    const call = new LoneCall(this.callerContext());
    this.enterOne(doc, call, undefined);
    return call.settling;
  }

  /** Checks in the order: signal, form of all, closed. */
  track(given: readonly unknown[], signal: AbortSignal | undefined): TrackedCall {
    // A copy: what a document's own functions do to the array changes nothing, and a hole is a document like any other that has no JSON.
    const docs = [...given];
    const call = new TrackedCall(docs.length, signal, this.callerContext());
    const refuseAll = (reason: DiscardReason, causeAt: (index: number) => unknown): TrackedCall => {
      docs.forEach((doc, index) => this.ledger.refuse(doc, reason, causeAt(index), call, index));
      return call;
    };
    if (isAborted(signal)) return refuseAll('aborted', () => signal?.reason);
    const prepared: ReturnType<DocumentForm['prepare']>[] = [];
    try {
      for (const doc of docs) prepared.push(this.form.prepare(doc));
    } catch (error) {
      const bad = prepared.length;
      const { reason, cause } = refusal(error);
      const sibling = new Error(`document ${bad} of the call was refused (${reason}); nothing of the call was sent`);
      return refuseAll(reason, (index) => (index === bad ? cause : sibling));
    }
    // Asked again: what a document's own functions do may have fired the signal, or closed the service.
    if (isAborted(signal)) return refuseAll('aborted', () => signal?.reason);
    if (this.isClosed) return refuseAll('closed', () => undefined);
    let waiting: WaitingCall | undefined;
    prepared.forEach(({ head, line }, index) => {
      waiting = this.admission.enter(head, line, docs[index], call, index, waiting);
    });
    call.admitted = this.admission.admittedOf(waiting);
    if (signal !== undefined && !call.settled) this.takeOutOnAbort(call, signal);
    return call;
  }

  private enterOne(
    doc: unknown,
    owner: LoneCall | undefined,
    waiting: WaitingCall | undefined,
  ): WaitingCall | undefined {
    const { form } = this;
    let { head } = form;
    let line: string;
    try {
      if (form.isPlain) line = encodeDocument(doc);
      else ({ head, line } = form.prepare(doc));
    } catch (error) {
      const { reason, cause } = refusal(error);
      this.ledger.refuse(doc, reason, cause, owner, 0);
      return waiting;
    }
    // Asked last: what a document's own functions do may have closed the service.
    if (this.isClosed) {
      this.ledger.refuse(doc, 'closed', undefined, owner, 0);
      return waiting;
    }
    return this.admission.enter(head, line, doc, owner, 0, waiting);
  }

  private takeOutOnAbort(call: TrackedCall, signal: AbortSignal): void {
    const takeOut = (): void => {
      for (const position of call.takeOut()) this.ledger.refuse(undefined, 'aborted', signal.reason, call, position);
    };
    // A listener that heard of the full buffer may have fired it while the documents came in.
    if (signal.aborted) return takeOut();
    signal.addEventListener('abort', takeOut, { once: true });
    call.whenSettled = () => signal.removeEventListener('abort', takeOut);
  }
}

/** A function, since a signal that was not aborted a line before may be now. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** What is thrown on the way in, and by whom but us, is the document's own doing. */
function refusal(error: unknown): { readonly reason: 'encode' | 'invalid'; readonly cause: unknown } {
  return error instanceof RefusedDocument ? error : { reason: 'encode', cause: error };
}
