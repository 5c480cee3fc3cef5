import type { Ledger } from '../settling/ledger.js';
import { TrackedCall, type TrackedLine } from '../settling/tracked-call.js';
import type { Admission } from './admission.js';
import { encodeDocument } from './encode.js';
import type { WaitingCall } from './waiting-call.js';

/**
 * Encodes what is handed in and brings it to the buffer's door.
 *
 * - Fire-and-forget documents go one by one: what cannot be encoded is refused alone. No promise, closure or handle is made for them while there
 *   is room.
 * - A tracked call of which one document cannot be encoded sends nothing.
 */
export class Intake {
  private isClosed = false;

  constructor(
    private readonly admission: Admission,
    private readonly ledger: Ledger,
  ) {}

  /** From here on everything is refused with `closed`. */
  close(): void {
    this.isClosed = true;
  }

  /** The promise of the room that it waits for. */
  enter(docs: unknown): Promise<void> {
    let waiting: WaitingCall | undefined;
    if (Array.isArray(docs)) for (const doc of docs as readonly unknown[]) waiting = this.enterOne(doc, waiting);
    else waiting = this.enterOne(docs, waiting);
    return this.admission.admittedOf(waiting);
  }

  /** Checks in the order: signal, encoding of all, closed. */
  track(docs: readonly unknown[], signal: AbortSignal | undefined): TrackedCall {
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
    if (this.isClosed) return refuseAll('closed', () => undefined);
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

  private enterOne(doc: unknown, waiting: WaitingCall | undefined): WaitingCall | undefined {
    if (this.isClosed) {
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
}

function newLine(call: TrackedCall, index: number): TrackedLine {
  return { call, index, place: undefined, line: 0 };
}
