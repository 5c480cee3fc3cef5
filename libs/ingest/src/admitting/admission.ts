import type { Clock } from '@nest-baton/core';
import type { DiscardReason } from '../settling/receipt.js';
import type { Ledger } from '../settling/ledger.js';
import { ADMITTED, type TrackedLine } from '../settling/tracked-call.js';
import { WaitingCall } from './waiting-call.js';

export interface AdmissionSettings {
  readonly maxBufferDocs: number;
  readonly maxBufferBytes: number;
  readonly overflow: 'wait' | 'discard';
}

/** Takes an admitted document. `atMs` and `generation` are those of its arrival, which a wait for room does not change. */
export type Append = (
  line: string,
  bytes: number,
  tracked: TrackedLine | undefined,
  atMs: number,
  generation: number,
) => void;

export interface AdmissionHooks {
  /** There is no room, and the first call begins to wait. */
  readonly onFull: (bufferedDocs: number, bufferedBytes: number) => void;
  /** A document waits: what is buffered should go out. */
  readonly onWaiting: () => void;
}

/**
 * The bounded buffer's door.
 *
 * - Documents and bytes count from admission until they settle, so what is in flight or retried counts too.
 * - When there is no room, calls wait first in, first out, encoded and counted, bounded by as much again; what is beyond that is refused
 *   with `buffer_full`, as is everything that finds no room with `overflow: 'discard'`.
 * - A document that could never fit is `too_large`.
 */
export class Admission {
  bufferedDocs = 0;
  bufferedBytes = 0;
  waitingDocs = 0;
  private waitingBytes = 0;
  private readonly waiting = new Set<WaitingCall>();
  private generation = 0;

  constructor(
    private readonly settings: AdmissionSettings,
    private readonly ledger: Ledger,
    private readonly clock: Clock,
    private readonly append: Append,
    private readonly hooks: AdmissionHooks,
  ) {}

  get isFull(): boolean {
    return this.waiting.size > 0 || this.bufferedDocs >= this.settings.maxBufferDocs;
  }

  /** Everything that arrives from now on belongs to a newer generation than the one returned. */
  startGeneration(): number {
    return this.generation++;
  }

  /**
   * Lets one document in, or lets it wait in `waiting`, or refuses it. Returns the waiting call that the rest of the same call must be given
   * to as well.
   */
  enter(
    line: string,
    doc: unknown,
    tracked: TrackedLine | undefined,
    waiting: WaitingCall | undefined,
  ): WaitingCall | undefined {
    const bytes = Buffer.byteLength(line, 'utf8') + 1;
    if (bytes > this.settings.maxBufferBytes) this.ledger.refuse(doc, 'too_large', this.tooLarge(bytes), tracked);
    else if (this.waiting.size === 0 && this.hasRoom(bytes)) this.admit(line, bytes, tracked);
    else if (this.settings.overflow === 'discard' || !this.mayWait(bytes))
      this.ledger.refuse(doc, 'buffer_full', undefined, tracked);
    else return this.wait(line, bytes, tracked, waiting);
    return waiting;
  }

  admittedOf(waiting: WaitingCall | undefined): Promise<void> {
    return waiting === undefined ? ADMITTED : waiting.admitted;
  }

  /** Documents left the buffer: settled, or taken out before they were sealed. */
  release(docs: number, bytes: number): void {
    this.bufferedDocs -= docs;
    this.bufferedBytes -= bytes;
    this.admitWaiting();
  }

  /** Refuses everything that waits. */
  refuseWaiting(reason: DiscardReason): void {
    for (const call of [...this.waiting]) {
      this.waiting.delete(call);
      while (call.peek() !== undefined) {
        const { line, bytes, tracked } = call.take();
        this.noLongerWaits(bytes);
        if (tracked === undefined) this.ledger.refuseWaiting(line);
        else this.ledger.refuse(undefined, reason, undefined, tracked);
      }
      call.end();
    }
  }

  oldestWaitingGeneration(): number {
    for (const call of this.waiting) return call.generation;
    return Infinity;
  }

  oldestWaitingAtMs(): number {
    for (const call of this.waiting) return call.arrivedAtMs;
    return Infinity;
  }

  private admit(line: string, bytes: number, tracked: TrackedLine | undefined): void {
    this.bufferedDocs++;
    this.bufferedBytes += bytes;
    this.append(line, bytes, tracked, this.clock.monotonic(), this.generation);
  }

  private wait(
    line: string,
    bytes: number,
    tracked: TrackedLine | undefined,
    given: WaitingCall | undefined,
  ): WaitingCall {
    const call = given ?? new WaitingCall(this.clock.monotonic(), this.generation, this.onRemoveWaiting);
    if (this.waiting.size === 0) this.hooks.onFull(this.bufferedDocs, this.bufferedBytes);
    this.waiting.add(call);
    this.waitingDocs++;
    this.waitingBytes += bytes;
    call.add(line, bytes, tracked);
    this.hooks.onWaiting();
    return call;
  }

  private admitWaiting(): void {
    for (const call of this.waiting) {
      for (let bytes = call.peek(); bytes !== undefined; bytes = call.peek()) {
        if (!this.hasRoom(bytes)) return;
        const { line, tracked } = call.take();
        this.noLongerWaits(bytes);
        this.bufferedDocs++;
        this.bufferedBytes += bytes;
        this.append(line, bytes, tracked, call.arrivedAtMs, call.generation);
      }
      this.waiting.delete(call);
      call.end();
    }
  }

  private readonly onRemoveWaiting = (call: WaitingCall, bytes: number): void => {
    this.noLongerWaits(bytes);
    if (call.docs === 0) this.waiting.delete(call);
    // The head may be gone, or all of a call that others wait behind.
    this.admitWaiting();
  };

  private noLongerWaits(bytes: number): void {
    this.waitingDocs--;
    this.waitingBytes -= bytes;
  }

  private hasRoom(bytes: number): boolean {
    const { maxBufferDocs, maxBufferBytes } = this.settings;
    return this.bufferedDocs < maxBufferDocs && this.bufferedBytes + bytes <= maxBufferBytes;
  }

  private mayWait(bytes: number): boolean {
    const { maxBufferDocs, maxBufferBytes } = this.settings;
    return this.waitingDocs < maxBufferDocs && this.waitingBytes + bytes <= maxBufferBytes;
  }

  private tooLarge(bytes: number): Error {
    return new Error(`the document has ${bytes} bytes; maxBufferBytes is ${this.settings.maxBufferBytes}`);
  }
}
