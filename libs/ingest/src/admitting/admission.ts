import type { Clock } from '@nest-baton/core';
import type { Lane } from '../batching/lane.js';
import { recordBytes } from '../batching/open-batch.js';
import type { DocumentOwner } from '../settling/document-owner.js';
import type { Ledger } from '../settling/ledger.js';
import type { DiscardReason } from '../settling/receipt.js';
import { ADMITTED } from '../settling/tracked-call.js';
import type { BufferShare } from './shared-buffer.js';
import { WaitingCall } from './waiting-call.js';

export interface AdmissionRooms {
  /** From admission until documents settle. */
  readonly buffer: BufferShare;
  /** As much again, for calls that wait. */
  readonly queue: BufferShare;
  /** The most bytes that one document can ever find room for. */
  readonly largestBytes: number;
}

/** Takes an admitted document, in the lane that its owner's documents travel in. */
export type Append = Lane['append'];

export interface AdmissionHooks {
  /** There is no room, and the first call begins to wait. */
  readonly onFull: (bufferedDocs: number, bufferedBytes: number) => void;
  /** A document waits, or is refused since there is no room: what is buffered should go out. */
  readonly onWaiting: () => void;
  /** An abort took out what waited. */
  readonly onTakenOut: () => void;
}

/** No UTF-16 unit of a text takes more bytes in UTF-8. */
const MAX_BYTES_PER_UNIT = 3;

/**
 * The bounded buffer's door.
 *
 * - Documents and bytes count from admission until they settle, so what is in flight or retried counts too.
 * - When there is no room, calls wait first in, first out, encoded and counted, bounded by as much again; what is beyond that is refused
 *   with `buffer_full`, as is everything that finds no room with `overflow: 'discard'`.
 * - A document that could never fit is `too_large`.
 */
export class Admission {
  private readonly waiting = new Set<WaitingCall>();
  private generation = 0;
  /** A document was refused for want of room since the last time that there was more of it. */
  private isTurningAway = false;

  constructor(
    private readonly overflow: 'wait' | 'discard',
    private readonly rooms: AdmissionRooms,
    private readonly ledger: Ledger,
    private readonly clock: Clock,
    private readonly append: Append,
    private readonly hooks: AdmissionHooks,
  ) {}

  get bufferedDocs(): number {
    return this.rooms.buffer.docs;
  }

  get bufferedBytes(): number {
    return this.rooms.buffer.bytes;
  }

  get waitingDocs(): number {
    return this.rooms.queue.docs;
  }

  get isFull(): boolean {
    return this.isTurningAway || this.waiting.size > 0 || this.rooms.buffer.isFull;
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
    head: string,
    line: string,
    doc: unknown,
    owner: DocumentOwner | undefined,
    position: number,
    waiting: WaitingCall | undefined,
  ): WaitingCall | undefined {
    const { buffer, queue, largestBytes } = this.rooms;
    const mayEnter = this.waiting.size === 0;
    const atMost = MAX_BYTES_PER_UNIT * (head.length + line.length) + 1;
    // Counting bytes costs as much as writing them, so it is done only near the limit.
    if (mayEnter && buffer.hasRoom(atMost)) {
      buffer.take(this.append(head, line, atMost, owner, position, this.generation, undefined));
      return waiting;
    }
    const bytes = recordBytes(head, line);
    if (bytes > largestBytes) this.ledger.refuse(doc, 'too_large', tooLarge(bytes, largestBytes), owner, position);
    else if (mayEnter && buffer.hasRoom(bytes))
      buffer.take(this.append(head, line, bytes, owner, position, this.generation, undefined));
    else if (this.overflow === 'discard' || !queue.hasRoom(bytes)) {
      this.isTurningAway = true;
      this.hooks.onWaiting();
      this.ledger.refuse(doc, 'buffer_full', undefined, owner, position);
    } else {
      // What the caller's own functions did since may have let in all that waited, or ended it.
      const call = waiting === undefined || waiting.isOver ? this.newCall() : waiting;
      const isFirst = this.waiting.size === 0;
      this.waiting.add(call);
      queue.take(bytes);
      call.add({ head, line, bytes, owner, position });
      // Told when it waits in its place: a listener may make room, which then lets it in.
      if (isFirst) this.hooks.onFull(this.bufferedDocs, this.bufferedBytes);
      this.hooks.onWaiting();
      return call;
    }
    return waiting;
  }

  admittedOf(waiting: WaitingCall | undefined): Promise<void> {
    return waiting === undefined ? ADMITTED : waiting.admitted;
  }

  /** Documents left the buffer: settled, or taken out before they were sealed. */
  release(docs: number, bytes: number): void {
    this.isTurningAway = false;
    this.rooms.buffer.give(docs, bytes);
    this.admitWaiting();
  }

  /** Lets in what waits, as far as there is room. */
  admitWaiting(): void {
    for (const call of this.waiting) {
      for (let next = call.peek(); next !== undefined; next = call.peek()) {
        const { head, line, bytes, owner, position } = next;
        if (!this.rooms.buffer.hasRoom(bytes)) return;
        call.advance();
        this.rooms.queue.give(1, bytes);
        this.rooms.buffer.take(bytes);
        this.append(head, line, bytes, owner, position, call.generation, call.arrivedAtMs);
      }
      this.waiting.delete(call);
      call.end();
    }
  }

  /** Refuses everything that waits. */
  refuseWaiting(reason: DiscardReason): void {
    for (const call of [...this.waiting]) {
      this.waiting.delete(call);
      for (let next = call.peek(); next !== undefined; next = call.peek()) {
        const { line, bytes, owner, position } = next;
        call.advance();
        this.rooms.queue.give(1, bytes);
        if (owner === undefined) this.ledger.refuseWaiting(line);
        else this.ledger.refuse(undefined, reason, undefined, owner, position);
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

  private newCall(): WaitingCall {
    return new WaitingCall(this.clock.monotonic(), this.generation, this.onTakenOut);
  }

  private readonly onTakenOut = (call: WaitingCall, docs: number, bytes: number): void => {
    this.rooms.queue.give(docs, bytes);
    this.waiting.delete(call);
    // The head may be gone, or all of a call that others wait behind.
    this.admitWaiting();
    this.hooks.onTakenOut();
  };
}

function tooLarge(bytes: number, largestBytes: number): Error {
  return new Error(`the document has ${bytes} bytes; the buffer has room for ${largestBytes}`);
}
