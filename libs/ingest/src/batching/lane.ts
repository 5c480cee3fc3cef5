import type { Clock } from '@nest-baton/core';
import type { DocumentOwner } from '../settling/document-owner.js';
import type { Batch, Commit } from './batch.js';
import { OpenBatch, recordBytes } from './open-batch.js';

export interface LaneSettings {
  readonly commit: Commit;
  /** A line of its own goes before each document. */
  readonly headed: boolean;
  /** At least one request goes out whatever its size. */
  readonly maxInFlightBytes: number;
  readonly maxBatchDocs: number;
  readonly maxDelayMs: number;
  /** A tracked document sends its batch along as soon as a request is free; without, it leaves by age, size, count or flush. */
  readonly isKickedByTracked: boolean;
}

/** What a lane asks of its surroundings. */
export interface LaneSurroundings {
  readonly clock: Clock;
  /** Requests that may run now; at least 1. */
  maxInFlight(): number;
  /** The size, in uncompressed bytes, that a batch should not pass now. */
  maxBatchBytes(): number;
  /** True when waiting for more documents is pointless, since none can come in. */
  isBufferFull(): boolean;
  /** Resolves when every document of the batch has settled. Never rejects. */
  deliver(batch: Batch): Promise<void>;
  /** A batch has come to its end. */
  onDelivered(): void;
  /** Documents were taken out before they were sealed. */
  onTakenOut(docs: number, bytes: number): void;
}

/**
 * One way to the server: documents are appended, sealed by size, age, flush or because somebody waits, and delivered by at most
 * `maxInFlight()` requests at a time.
 *
 * A full batch is sealed at once. Any other is sealed only when a request may go out, so that documents coalesce, and can be taken out,
 * while all are busy. A batch with a tracked document goes out as soon as one is free (unless hints are off): after the current turn of the event loop, so that calls
 * made together travel together.
 */
export class Lane {
  private open: OpenBatch;
  private readonly ready: Batch[] = [];
  private readonly running = new Set<Batch>();
  private runningBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private willPump = false;
  private isClosing = false;
  private sealUpTo = -1;
  /** What the last batch came to, which the next one will probably come to as well. */
  private lastBytes = 0;

  constructor(
    private readonly settings: LaneSettings,
    private readonly around: LaneSurroundings,
  ) {
    this.open = this.newBatch();
  }

  /**
   * @param head what goes before the document; @param line the document.
   * @param atMost bytes that both need at most, the line break included: exact near the limit only.
   * @param arrivedAtMs when it came in, if not just now.
   * @returns the bytes that it took.
   */
  append(
    head: string,
    line: string,
    atMost: number,
    owner: DocumentOwner | undefined,
    position: number,
    generation: number,
    arrivedAtMs: number | undefined,
  ): number {
    const maxBytes = this.around.maxBatchBytes();
    const { count, bytes: held } = this.open;
    if (count > 0 && held + atMost > maxBytes && held + recordBytes(head, line) > maxBytes) this.seal();
    const { open } = this;
    if (open.count === 0) {
      open.oldestAtMs = arrivedAtMs ?? this.around.clock.monotonic();
      open.generation = generation;
    }
    const bytes = open.add(head, line, atMost, owner, position);
    if (open.count >= this.settings.maxBatchDocs || open.bytes >= maxBytes) {
      this.seal();
      this.pump();
    } else if ((owner !== undefined && this.isKicking()) || this.isPushed(generation)) this.pumpSoon();
    else if (this.timer === undefined) this.arm();
    return bytes;
  }

  /** Lets what is due go out after the current turn of the event loop. */
  readonly pumpSoon = (): void => {
    if (this.willPump) return;
    this.willPump = true;
    setImmediate(this.pump);
  };

  /** Everything of this generation and older goes out without waiting for more. */
  flush(generation: number): void {
    this.sealUpTo = Math.max(this.sealUpTo, generation);
    this.pump();
  }

  /** From here on nothing waits for more. */
  startClosing(): void {
    this.isClosing = true;
    this.pump();
  }

  /** Sends what is due, as far as requests may go out. */
  readonly pump = (): void => {
    this.willPump = false;
    while (this.running.size < this.around.maxInFlight() && this.runningBytes < this.settings.maxInFlightBytes) {
      if (this.ready.length === 0 && this.isDue()) this.seal();
      const batch = this.ready.shift();
      if (batch === undefined) break;
      void this.run(batch);
    }
    // What seemed due to whoever asked for this, since the buffer was full then, may not be due any more.
    if (this.timer === undefined && this.open.count > 0 && this.remainingMs() > 0) this.arm();
  };

  /** What was not given to `deliver`. Nothing of it can be taken out any more. */
  takeUnsent(): readonly Batch[] {
    if (this.open.count > 0) this.seal();
    return this.ready.splice(0);
  }

  /** The generation of the oldest document that has not settled, or Infinity. */
  oldestGeneration(): number {
    return this.least((batch) => batch.origin.generation, this.open.generation);
  }

  /** When the oldest document that has not settled came in, or Infinity. */
  oldestAtMs(): number {
    return this.least((batch) => batch.origin.oldestAtMs, this.open.oldestAtMs);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private least(of: (batch: Batch) => number, ofOpen: number): number {
    let least = this.open.count > 0 ? ofOpen : Infinity;
    for (const batch of this.ready) least = Math.min(least, of(batch));
    for (const batch of this.running) least = Math.min(least, of(batch));
    return least;
  }

  private async run(batch: Batch): Promise<void> {
    const bytes = batch.byteLength;
    this.running.add(batch);
    this.runningBytes += bytes;
    await this.around.deliver(batch);
    this.running.delete(batch);
    this.runningBytes -= bytes;
    this.pump();
    this.around.onDelivered();
  }

  private isDue(): boolean {
    const { open } = this;
    if (open.count === 0) return false;
    return this.isKicking() || this.isPushed(open.generation) || this.remainingMs() <= 0;
  }

  /** Somebody waits for a document of the open batch. */
  private isKicking(): boolean {
    return this.settings.isKickedByTracked && this.open.trackedCount > 0;
  }

  private isPushed(generation: number): boolean {
    return this.isClosing || generation <= this.sealUpTo || this.around.isBufferFull();
  }

  private remainingMs(): number {
    return this.open.oldestAtMs + this.settings.maxDelayMs - this.around.clock.monotonic();
  }

  private seal(): void {
    this.lastBytes = this.open.bytes;
    this.ready.push(this.open.seal(this.settings.commit, this.settings.headed));
    this.open = this.newBatch();
  }

  private newBatch(): OpenBatch {
    return new OpenBatch(this.lastBytes + (this.lastBytes >> 3), (docs, bytes) => {
      // The tracked document that would have sent the rest along may be gone.
      if (this.timer === undefined && this.open.count > 0) this.arm();
      this.around.onTakenOut(docs, bytes);
    });
  }

  /** When the time is up already, either all requests are busy, and the next one to end takes the batch, or it ran out since somebody looked. */
  private arm(): void {
    const remainingMs = this.remainingMs();
    if (remainingMs > 0) this.timer = setTimeout(this.onTimer, Math.ceil(remainingMs));
    else this.pumpSoon();
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    // The batch it was set for may have gone out by size; the next one has time left.
    this.pump();
    if (this.timer === undefined && this.open.count > 0) this.arm();
  };
}
