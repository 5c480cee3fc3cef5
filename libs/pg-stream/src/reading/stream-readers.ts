import type { ServerResponse } from 'node:http';
import { lastEventIdOf } from '../sse/sse-request.js';
import { SseSession } from '../sse/sse-session.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { WatchedStreams } from '../waking/watched-streams.js';
import type { ReadOptions, SseOptions } from './chunk.js';
import { startOf } from './cursor.js';
import { followAbort } from './follow-abort.js';
import type { SliceSource } from './slice-source.js';
import { checkContiguous, checkCursor } from './slice.js';
import { shuttingDown, StreamReading } from './stream-reading.js';

/**
 * All readers of this process, whatever their face.
 *
 * open: readers begin and end as they like · closed: those that run are ended with SHUTTING_DOWN, and no other begins.
 */
export class StreamReaders {
  private readonly active = new Set<StreamReading>();
  private readonly awaited = new Set<StreamReading>();
  private readonly responses = new Map<StreamReading, Promise<void>>();
  private isClosed = false;

  constructor(
    private readonly slices: SliceSource,
    private readonly watched: WatchedStreams,
    private readonly metrics: PgStreamMetrics,
  ) {}

  get count(): number {
    return this.active.size;
  }

  get sseCount(): number {
    return this.responses.size;
  }

  /** @throws CursorInvalidError */
  read(stream: string, options: ReadOptions): StreamReading {
    const { live = true, ifMissing = live ? 'wait' : 'fail', signal } = options;
    const room = {
      slices: this.slices,
      watched: this.watched,
      metrics: this.metrics,
      active: this.active,
      awaited: this.awaited,
      isClosed: () => this.isClosed,
    };
    return new StreamReading(room, { stream, live, ifMissing, signal, ...startOf(options) });
  }

  /** @throws CursorInvalidError, CursorTrimmedError or ShuttingDownError before anything of the response is sent. */
  async sse(response: ServerResponse, stream: string, options: SseOptions, heartbeatMs: number): Promise<void> {
    const cursor = lastEventIdOf(response.req);
    const from = cursor === undefined ? { startIndex: options.startIndex } : { cursor };
    const reading = this.read(stream, {
      ...(from as ReadOptions),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    this.throwIfClosed(stream);
    if (cursor !== undefined && (await this.isAllSeen(stream, cursor, options.signal))) {
      response.writeHead(204).end();
      return;
    }
    this.throwIfClosed(stream);
    // The client left while its id was looked up: nobody will close the response again.
    if (response.destroyed || response.closed) return;
    const session = new SseSession(response, reading, heartbeatMs).run();
    const kept = session.then(
      () => undefined,
      () => undefined,
    );
    this.responses.set(reading, kept);
    try {
      await session;
    } finally {
      this.responses.delete(reading);
    }
  }

  /** Returns when every response has been told to end. */
  async close(): Promise<void> {
    this.isClosed = true;
    // A reading that has come to its end is not active, and its response may still wait for the client to take it.
    for (const reading of [...this.active, ...this.awaited, ...this.responses.keys()])
      reading.stop(shuttingDown(reading.stream));
    this.awaited.clear();
    await Promise.all(this.responses.values());
  }

  /** @throws ShuttingDownError */
  throwIfClosed(stream: string): void {
    if (this.isClosed) throw shuttingDown(stream);
  }

  /**
   * The id is that of the `end` event. A client that has every chunk and was cut before that is still owed it.
   *
   * @throws CursorInvalidError, CursorTrimmedError
   */
  async isAllSeen(stream: string, cursor: string, signal: AbortSignal | undefined): Promise<boolean> {
    const start = startOf({ cursor });
    const over = new AbortController();
    const unfollow = followAbort(signal, () => over.abort());
    const slice = await this.slices.slice(stream, start.position, 1, { signal: over.signal }).finally(unfollow);
    // What nobody waits for is not looked up, and says nothing about the cursor.
    signal?.throwIfAborted();
    checkCursor(stream, slice, start.cursor);
    if (slice !== undefined) checkContiguous(stream, slice);
    return start.cursor?.isEnd === true;
  }
}
