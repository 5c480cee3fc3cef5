import type { Socket } from 'node:net';
import { systemClock } from '@nest-baton/core';
import { type CutKind, type LaneFaults, NO_FAULTS } from './lane-faults.js';

/** What a connection learns from its lanes. */
export interface LaneObserver {
  arrived(bytes: Buffer): void;
  passed(count: number): void;
  swallowed(count: number): void;
  /** As many bytes have passed as were allowed. */
  exhausted(kind: CutKind): void;
}

type Item = { readonly dueAt: number } & (
  { readonly kind: 'bytes'; bytes: Buffer } | { readonly kind: 'end' | 'reset' }
);

/** So much may wait in a lane; then the sender has to wait, as it would for a full network. */
const CAPACITY_BYTES = 256 * 1024;
/** A throttled lane passes this much of a second at once. */
const SLICE_SECONDS = 0.05;

/**
 * One direction of one connection: takes from the source and gives to the sink, in order, whatever the faults.
 *
 * - An end (FIN) and a reset of the source travel through the lane as bytes do: behind them, delayed, stalled or swallowed.
 * - The source is paused while the lane is full or the sink does not take more.
 */
export class Lane {
  private faults = NO_FAULTS;
  private readonly queue: Item[] = [];
  private queuedBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private isSinkFull = false;
  private freeAt = 0;
  private isClosed = false;
  private hasHole = false;

  constructor(
    private readonly source: Socket,
    private readonly sink: Socket,
    private readonly observer: LaneObserver,
  ) {
    let hasEnded = false;
    source.on('data', (bytes) => this.take(bytes));
    source.on('end', () => {
      hasEnded = true;
      this.add({ kind: 'end', dueAt: this.dueAt() });
    });
    source.on('close', (hadError) => {
      if (!hasEnded || hadError) this.add({ kind: 'reset', dueAt: this.dueAt() });
    });
    sink.on('drain', () => {
      this.isSinkFull = false;
      this.pump();
    });
    sink.on('close', () => this.close());
  }

  /** Whether something was swallowed: what follows would not fit on, so nothing may ever follow. */
  get isBroken(): boolean {
    return this.hasHole;
  }

  set(faults: Partial<LaneFaults>): void {
    this.faults = { ...this.faults, ...faults };
    if (this.faults.path === 'blackHole') this.drop();
    this.replan();
  }

  /** Passes all that waits at once, and everything from now on. */
  heal(): void {
    this.faults = NO_FAULTS;
    for (const [index, item] of this.queue.entries()) this.queue[index] = { ...item, dueAt: 0 };
    this.freeAt = 0;
    this.replan();
  }

  /** From now on everything is swallowed. */
  close(): void {
    this.isClosed = true;
    this.drop();
    clearTimeout(this.timer);
    this.source.resume();
  }

  private take(bytes: Buffer): void {
    this.observer.arrived(bytes);
    this.add({ kind: 'bytes', bytes, dueAt: this.dueAt() });
  }

  private add(item: Item): void {
    this.queue.push(item);
    if (item.kind === 'bytes') this.queuedBytes += item.bytes.length;
    if (this.isClosed || this.faults.path === 'blackHole') this.drop();
    else this.pump();
    if (this.queuedBytes >= CAPACITY_BYTES) this.source.pause();
  }

  private drop(): void {
    if (this.queue.length === 0) return;
    this.hasHole = true;
    this.observer.swallowed(this.queuedBytes);
    this.queue.length = 0;
    this.queuedBytes = 0;
    this.source.resume();
  }

  private replan(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pump();
  }

  private pump(): void {
    while (!this.isClosed && !this.isSinkFull && this.timer === undefined && this.faults.path === 'open') {
      const [item] = this.queue;
      if (item === undefined) return;
      const wait = Math.max(item.dueAt, this.freeAt) - systemClock.monotonic();
      if (wait > 0) {
        this.timer = setTimeout(() => this.replan(), wait);
        return;
      }
      if (item.kind === 'bytes') this.pass(item);
      else this.finish(item.kind);
    }
  }

  private pass(item: Item & { kind: 'bytes' }): void {
    const { bytesPerSecond, bytesLeft, cutKind } = this.faults;
    const slice = Math.max(1, Math.floor(bytesPerSecond * SLICE_SECONDS));
    const count = Math.min(item.bytes.length, slice, bytesLeft);
    if (count === item.bytes.length) this.queue.shift();
    const piece = item.bytes.subarray(0, count);
    item.bytes = item.bytes.subarray(count);
    this.queuedBytes -= count;
    this.faults = { ...this.faults, bytesLeft: bytesLeft - count };
    const now = systemClock.monotonic();
    // Slices are counted from when they were due, so that a late timer does not lower the rate; a pause is not made up for.
    if (bytesPerSecond !== Infinity) {
      const begun = now - this.freeAt > 1000 * SLICE_SECONDS ? now : this.freeAt;
      this.freeAt = begun + (1000 * count) / bytesPerSecond;
    }
    this.observer.passed(count);
    const isLast = bytesLeft - count <= 0;
    // A reset would overtake bytes that have not reached the kernel.
    this.isSinkFull = !this.sink.write(piece, () => isLast && this.observer.exhausted(cutKind)) || isLast;
    if (this.queuedBytes < CAPACITY_BYTES) this.source.resume();
  }

  private finish(kind: CutKind): void {
    this.queue.shift();
    if (kind === 'end') this.sink.end();
    else resetSocket(this.sink);
  }

  private dueAt(): number {
    return this.faults.delayMs === 0 ? 0 : systemClock.monotonic() + this.faults.delayMs;
  }
}

/** A RST to the other side; what was never connected, or is just saying its end, is only given up. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  // A socket whose shutdown is on its way cannot be reset (EINVAL), and Node would neither close it nor say so.
  const isShuttingDown = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || isShuttingDown) socket.destroy();
  else socket.resetAndDestroy();
}

export async function whenClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}
