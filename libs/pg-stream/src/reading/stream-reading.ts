import { errorCode, ShuttingDownError } from '@nest-baton/core';
import { StreamNotFoundError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { Handed, StreamWatch, WatchedStreams } from '../waking/watched-streams.js';
import type { Chunk, StreamEnd, StreamReader } from './chunk.js';
import { encodeCursor, type Start } from './cursor.js';
import { followAbort } from './follow-abort.js';
import type { SliceSource } from './slice-source.js';
import {
  checkContiguous,
  checkCursor,
  checkSameStream,
  ownChunk,
  positionAfter,
  READ_LIMIT,
  type StreamSlice,
} from './slice.js';

export interface Reading extends Start {
  readonly stream: string;
  readonly live: boolean;
  readonly ifMissing: 'wait' | 'fail';
  readonly signal: AbortSignal | undefined;
}

/** What readers have in common in one process. */
export interface ReadingRoom {
  readonly slices: SliceSource;
  readonly watched: WatchedStreams;
  /** Readers that have begun and not ended. */
  readonly active: Set<StreamReading>;
  /** Readers that have not begun, and of which somebody wants to know the end. */
  readonly awaited: Set<StreamReading>;
  readonly isClosed: () => boolean;
  readonly metrics: PgStreamMetrics;
}

/** Why a reading ended. `left`: by `return()`, the signal, or an SSE client that went away. `tail`: where `live: false` ends. */
type Ending = 'end_of_stream' | 'tail' | 'left' | 'shutdown' | 'failed';

/** Ended from inside: by `return()`, without an error. */
const RETURNED = Symbol('returned');

/**
 * One pass over one stream, pulled by its consumer.
 *
 * new: nothing is held, unless `ended` was asked for, which the shutdown settles · reading: one page at most is held, and the stream is
 * watched · ended: nothing is held any more. It ends with the stream, with `live: false` at the tail it saw first, with `return()`, with the
 * signal, with a failed query, or with the process' shutdown; the last three throw from `next()`.
 */
export class StreamReading implements StreamReader {
  private isNew = true;
  private readonly settled: Promise<StreamEnd | undefined>;
  private readonly stopping = new AbortController();
  private readonly chunks: AsyncGenerator<Chunk, void, void>;
  private settleEnded: (end: StreamEnd | undefined) => void = () => undefined;
  /** Undefined: wherever the stream begins. */
  private position: number | undefined;
  private streamId: number | undefined;

  constructor(
    private readonly room: ReadingRoom,
    private readonly reading: Reading,
  ) {
    this.position = reading.position;
    this.settled = new Promise((resolve) => (this.settleEnded = resolve));
    this.chunks = this.read();
  }

  get ended(): Promise<StreamEnd | undefined> {
    if (this.isNew && this.room.isClosed()) this.settleEnded(undefined);
    else if (this.isNew) this.room.awaited.add(this);
    return this.settled;
  }

  get stream(): string {
    return this.reading.stream;
  }

  /** Of who has seen everything and how it ended. Only once the end was there. */
  get endCursor(): string {
    return encodeCursor({ streamId: this.streamId ?? 0, position: this.position ?? 0, isEnd: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<Chunk, void, void> {
    return {
      next: () => this.chunks.next(),
      return: async () => {
        // A next() that waits for a wake-up would otherwise hold back the end.
        this.stop(RETURNED);
        this.leaveNew();
        await this.chunks.return();
        this.settleEnded(undefined);
        return { done: true, value: undefined };
      },
    };
  }

  /** Aborts with the reason for which it was stopped. Not when it has ended by itself, until somebody stops it all the same. */
  get whenStopped(): AbortSignal {
    return this.stopping.signal;
  }

  /** Ends it for `reason`, which a waiting or following `next()` throws. */
  stop(reason: unknown): void {
    this.stopping.abort(reason);
    if (this.isNew) this.settleEnded(undefined);
  }

  private leaveNew(): void {
    this.isNew = false;
    this.room.awaited.delete(this);
  }

  private async *read(): AsyncGenerator<Chunk, void, void> {
    const { room, reading } = this;
    this.leaveNew();
    if (room.isClosed()) this.stop(shuttingDown(reading.stream));
    const { signal } = reading;
    const unfollow = followAbort(signal, () => this.stop(signal?.reason));
    const watch = room.watched.watch(reading.stream);
    room.active.add(this);
    let ending: Ending | undefined;
    try {
      ending = yield* this.readWatched(watch);
    } catch (error) {
      if (!this.stopping.signal.aborted) ending = 'failed';
      throw error;
    } finally {
      room.metrics.add('readers.ended', 1, ending ?? this.whyStopped());
      room.active.delete(this);
      watch.release();
      unfollow();
      this.settleEnded(undefined);
    }
  }

  private whyStopped(): Ending {
    return errorCode(this.stopping.signal.reason) === 'SHUTTING_DOWN' ? 'shutdown' : 'left';
  }

  private async *readWatched(watch: StreamWatch): AsyncGenerator<Chunk, Ending | undefined, void> {
    const { stream, live, ifMissing } = this.reading;
    /** Without `live`: the tail of the first page, so that a fast writer cannot hold the reader for ever. */
    let limit = Infinity;
    let isFirst = true;
    let isWoken = false;
    let handed: Handed | undefined;
    while (!this.isStopped()) {
      // Before the query: what is committed after its snapshot raises the revision, and is not slept over. Nor is what came after the chunks in hand.
      const { revision }: { readonly revision: number } = handed ?? watch;
      const slice = handed?.slice ?? (await this.nextSlice(live && !isFirst ? revision : undefined));
      isFirst = false;
      if (this.isStopped()) return undefined;
      if (slice === undefined && ifMissing === 'fail')
        throw new StreamNotFoundError(`nobody has opened or written the stream '${stream}'.`);
      if (slice !== undefined) {
        if (!live) limit = Math.min(limit, slice.nextIndex);
        const [earliest] = slice.chunks;
        if (isWoken && earliest !== undefined) watch.delivered(earliest.createdAt);
        isWoken = false;
        for (const chunk of slice.chunks) {
          if (chunk.index >= limit) return 'tail';
          this.position = chunk.index + 1;
          this.room.metrics.add('chunks.read', 1);
          yield ownChunk(slice, chunk);
          if (this.isStopped()) return undefined;
        }
        const position = positionAfter(slice);
        if (position < Math.min(slice.nextIndex, limit)) continue;
        if (slice.end !== undefined && position >= slice.nextIndex) {
          this.settleEnded(slice.end);
          return 'end_of_stream';
        }
      }
      if (!live) return 'tail';
      // What moved meanwhile was late because its consumer was.
      isWoken = watch.revision === revision;
      handed = await watch.changed(revision, this.position ?? 0, this.stopping.signal, this.streamId);
    }
    return undefined;
  }

  private async nextSlice(revision: number | undefined): Promise<StreamSlice | undefined> {
    const { stream, cursor } = this.reading;
    const { signal } = this.stopping;
    const slice = await firstOf(
      this.room.slices.slice(stream, this.position, READ_LIMIT, { signal, revision }),
      signal,
    );
    if (signal.aborted) return undefined;
    if (this.streamId === undefined) checkCursor(stream, slice, cursor);
    checkSameStream(stream, slice, this.streamId);
    if (slice === undefined) return undefined;
    checkContiguous(stream, slice);
    this.position = slice.position;
    this.streamId = slice.streamId;
    return slice;
  }

  /** @throws the reason, unless the consumer ended it himself. */
  private isStopped(): boolean {
    const { aborted, reason } = this.stopping.signal as { aborted: boolean; reason: unknown };
    if (aborted && reason !== RETURNED) throw reason;
    return aborted;
  }
}

export function shuttingDown(stream: string): ShuttingDownError {
  return new ShuttingDownError(
    `this process is shutting down and no longer reads the stream '${stream}': read on elsewhere with the last cursor.`,
  );
}

/** Settles with `query`, or with nothing as soon as `signal` aborts; what the query comes to after that is dropped. */
async function firstOf<T>(query: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let abort = (): void => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    abort = () => resolve(undefined);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([query, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
