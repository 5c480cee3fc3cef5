import {
  type Backoff,
  backoffDelay,
  type Queryable,
  secondsSince,
  ShuttingDownError,
  systemClock,
  systemRandom,
} from '@nest-baton/core';
import { WriterQueueFullError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { WritingStore, Written } from '../writing/writing-store.js';
import { Lanes } from './lanes.js';
import { type Next, Settling, type SettlingOptions } from './settling.js';
import { StreamLine } from './stream-line.js';
import type { Placed, WriteRequest } from './write-call.js';

/** What one statement carries at most, the first stream's part aside: it should be back before the next callers lose patience. */
const MAX_FLUSH_BYTES = 8 * 1024 * 1024;
const MAX_FLUSH_STREAMS = 2_000;

/** From so many streams on it pays to halve them, so that one half is written while the callers of the other are answered and call again. */
const MIN_SPLIT_STREAMS = 64;

/** What a chunk costs beside its bytes, about. */
const CHUNK_OVERHEAD_BYTES = 64;

/** A restart of the server or a failover of a managed one is mostly over by then. */
const PATIENCE_MS = 10_000;

/** How long shutdown waits for what is under way. */
const STOP_TIMEOUT_MS = 5_000;

const BACKOFF: Backoff = { baseMs: 50, factor: 2, capMs: 1_000, jitter: 'equal' };

export interface GroupCommitOptions {
  readonly store: WritingStore;
  /** As many statements are under way at a time, lanes aside; the first alone unless many streams are written at once. */
  readonly flushers: readonly Queryable[];
  readonly lanes: readonly Queryable[];
  readonly lockTimeoutMs: number;
  readonly maxPendingBytes: number;
  readonly moved: SettlingOptions['moved'];
  readonly metrics: PgStreamMetrics;
}

/** A connection on which one statement at a time is under way. */
interface Flusher {
  readonly on: Queryable;
  isFlushing: boolean;
}

/**
 * Writes what all callers of the process want written, to any streams, in one statement and one commit at a time: whatever comes while one is
 * under way leaves together in the next, as soon as it is back; of many streams, half of them in one and half in another beside it. Each
 * caller is answered after the commit that holds his chunks.
 *
 * - The calls for one stream are carried out in the order in which they came.
 * - No statement of it waits for a row's lock: a stream that somebody else holds gets a lane, and STREAM_BUSY after `lockTimeout`; the others do not
 *   notice.
 * - Data that Postgres refuses is refused alone.
 * - With a lost connection, calls that may run twice are repeated for about 10 s, as they were; the others are told at once.
 * - Bounded: beyond `maxPendingBytes` a call is refused and not taken.
 */
export class GroupCommit {
  private readonly lines = new Map<string, StreamLine>();
  private readonly ready: StreamLine[] = [];
  private readonly repeats = new Map<StreamLine, NodeJS.Timeout>();
  private readonly flushers: readonly Flusher[];
  private readonly lanes: Lanes;
  private readonly settling: Settling;
  private bytes = 0;
  private calls = 0;
  private isStopping = false;
  private idle: (() => void) | undefined;

  constructor(private readonly options: GroupCommitOptions) {
    this.flushers = options.flushers.map((on) => ({ on, isFlushing: false }));
    this.lanes = new Lanes(options.lanes, (line, on) => this.writeHeld(line, on));
    this.settling = new Settling({
      moved: options.moved,
      left: ({ weight }) => this.leave(weight),
      patienceMs: PATIENCE_MS,
      isStopping: () => this.isStopping,
    });
  }

  /** Bytes that wait for their commit. */
  get pendingBytes(): number {
    return this.bytes;
  }

  /** @throws WriterQueueFullError, ShuttingDownError before it is taken; then what became of it. */
  write(request: WriteRequest): Promise<Placed> {
    if (this.isStopping)
      throw new ShuttingDownError('PgStreamModule has shut down; the call did nothing and can be made elsewhere.');
    const weight = weightOf(request.chunks);
    const { maxPendingBytes } = this.options;
    if (this.bytes > 0 && this.bytes + weight > maxPendingBytes)
      throw new WriterQueueFullError(
        `${this.calls} calls with ${this.bytes} bytes wait for their commit already, and maxPendingBytes is ${maxPendingBytes}: await them, or raise it.`,
      );
    this.bytes += weight;
    this.calls++;
    return new Promise<Placed>((resolve, reject) => {
      const { stream, chunks, producer, expectedIndex, end, owner } = request;
      // Written out: it is made for each call, and copying it property by property costs as much as all the rest here.
      this.lineOf(stream).add({
        stream,
        chunks,
        producer,
        expectedIndex,
        end,
        owner,
        weight,
        isAlone: false,
        wasSent: false,
        resolve,
        reject,
      });
    });
  }

  /** Returns when every call is answered, or the time is up; what is left then is answered when its connection is closed. */
  async stop(): Promise<void> {
    this.isStopping = true;
    for (const [line, timer] of this.repeats) {
      clearTimeout(timer);
      this.repeat(line);
    }
    if (this.calls === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.idle = resolve;
      timer = setTimeout(resolve, STOP_TIMEOUT_MS);
    });
    clearTimeout(timer);
  }

  private lineOf(stream: string): StreamLine {
    const known = this.lines.get(stream);
    if (known !== undefined) return known;
    const line = new StreamLine(stream);
    this.lines.set(stream, line);
    this.enqueue(line);
    return line;
  }

  private enqueue(line: StreamLine): void {
    this.ready.push(line);
    const isIdle = this.flushers.every(({ isFlushing }) => !isFlushing);
    if (isIdle || this.ready.length >= MIN_SPLIT_STREAMS) this.begin();
  }

  /** The first that is free, so that the others are idle unless they are needed. */
  private begin(): void {
    const flusher = this.flushers.find(({ isFlushing }) => !isFlushing);
    if (flusher !== undefined) void this.flushAll(flusher);
  }

  private async flushAll(flusher: Flusher): Promise<void> {
    flusher.isFlushing = true;
    for (await everybodyHasCalled(); this.ready.length > 0; await everybodyHasCalled()) {
      const lines = this.take();
      if (this.ready.length >= MIN_SPLIT_STREAMS / 2) this.begin();
      await this.flush(flusher.on, lines);
    }
    flusher.isFlushing = false;
  }

  private take(): readonly StreamLine[] {
    const { size } = this.lines;
    const most = Math.min(MAX_FLUSH_STREAMS, size < MIN_SPLIT_STREAMS ? size : Math.ceil(size / 2));
    let bytes = 0;
    let count = 0;
    for (const line of this.ready) {
      bytes += line.head().bytes;
      if (count > 0 && (bytes > MAX_FLUSH_BYTES || count >= most || line.isSuspect)) break;
      count++;
      if (line.isSuspect) break;
    }
    return this.ready.splice(0, count);
  }

  private async flush(on: Queryable, lines: readonly StreamLine[]): Promise<void> {
    const { store, metrics } = this.options;
    const startedAt = systemClock.monotonic();
    const items = lines.map((line) => line.head().item);
    let written: readonly (Written | undefined)[];
    try {
      written = await store.write(on, items, undefined);
    } catch (error) {
      for (const line of lines) this.then(line, this.settling.failed(line, error, lines.length === 1));
      return;
    }
    metrics.record('flush.duration', secondsSince(startedAt));
    metrics.record(
      'flush.calls',
      items.reduce((sum, { calls }) => sum + calls, 0),
    );
    lines.forEach((line, nth) => {
      const one = written[nth];
      if (one === undefined) this.hold(line);
      else this.then(line, this.settling.succeeded(line, one));
    });
  }

  private hold(line: StreamLine): void {
    const until = systemClock.monotonic() + this.options.lockTimeoutMs;
    for (const call of line.head().calls) call.lockedUntil ??= until;
    this.options.metrics.add('flush.held', 1);
    this.lanes.add(line);
  }

  private async writeHeld(line: StreamLine, on: Queryable): Promise<void> {
    const { calls, item } = line.head();
    const waitMs = Math.max(1, Math.ceil((calls[0]?.lockedUntil ?? 0) - systemClock.monotonic()));
    let written: readonly (Written | undefined)[];
    try {
      written = await this.options.store.write(on, [item], waitMs);
    } catch (error) {
      return this.then(line, this.settling.failed(line, error, true));
    }
    this.then(line, written[0] === undefined ? 'go-on' : this.settling.succeeded(line, written[0]));
  }

  private then(line: StreamLine, next: Next): void {
    if (line.isEmpty) return void this.lines.delete(line.stream);
    if (next === 'go-on') return this.enqueue(line);
    const delay = backoffDelay(line.losses, BACKOFF, systemRandom);
    this.repeats.set(
      line,
      setTimeout(() => this.repeat(line), delay),
    );
  }

  private repeat(line: StreamLine): void {
    if (this.repeats.delete(line)) this.enqueue(line);
  }

  private leave(weight: number): void {
    this.bytes -= weight;
    this.calls--;
    if (this.calls === 0) this.idle?.();
  }
}

/** Whoever was answered by the last commit has taken his answer, and made his next call if he does so at once: no promise is open to run. */
function everybodyHasCalled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function weightOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((weight, { length }) => weight + length + CHUNK_OVERHEAD_BYTES, CHUNK_OVERHEAD_BYTES);
}
