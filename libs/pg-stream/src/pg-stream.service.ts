import type { ServerResponse } from 'node:http';
import {
  describeError,
  type GaugeReadings,
  Metrics,
  SharedLook,
  type TimeoutRegistry,
  TypedEvents,
} from '@nest-baton/core';
import {
  type BeforeApplicationShutdown,
  Logger,
  type MessageEvent,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { Observable } from 'rxjs';
import { isLostConnection } from './connecting/lost-connection.js';
import { repeatWhileLost } from './connecting/patience.js';
import { prepareServer } from './connecting/prepare-server.js';
import { shareDatabase } from './connecting/shared-database.js';
import { StreamDatabase } from './connecting/stream-database.js';
import { StreamNotFoundError, StreamUnavailableError } from './pg-stream.errors.js';
import { decideHealth, type PgStreamHealth } from './operating/stream-health.js';
import type { PgStreamStats } from './operating/stream-stats.js';
import type { PgStreamEvents } from './pg-stream.events.js';
import { PG_STREAM_METRICS, type PgStreamMetrics } from './pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from './pg-stream.options.js';
import { eventsOf } from './faces/events-face.js';
import { readableOf } from './faces/readable-face.js';
import { StreamKeeping, type TrimOptions } from './keeping/stream-keeping.js';
import type {
  EventsOptions,
  Page,
  PageOptions,
  ReadOptions,
  SseOptions,
  StreamInfo,
  StreamReader,
} from './reading/chunk.js';
import { readPage } from './reading/page-reader.js';
import { ReadingStore } from './reading/reading-store.js';
import { SliceSource } from './reading/slice-source.js';
import { StreamReaders } from './reading/stream-readers.js';
import { StreamWaking } from './waking/stream-waking.js';
import type { Appended, AppendOptions, CloseOptions, OpenOptions } from './writing/append-options.js';
import { checkStreamName } from './writing/call-check.js';
import type { StreamWriter } from './writing/stream-writer.js';
import { StreamWriting } from './writing/stream-writing.js';

/** A server that takes longer for `SELECT 1`, the wait for a connection included, is of no use to anybody. */
const HEALTH_TIMEOUT_MS = 3_000;

/**
 * Live streams of chunks, in Postgres.
 *
 * - What `append` resolved for is committed, at a dense position; positions are in the order of commits, so no reader passes a chunk that
 *   commits later.
 * - A reader gets every chunk once, in order, and the end, whatever happens to the connections meanwhile, or `next()` throws.
 * - From the start of shutdown readers end with SHUTTING_DOWN; appends are taken until the connections are closed.
 */
export class PgStreamService implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly logger: Logger;
  private readonly emitter: TypedEvents<PgStreamEvents>;
  private readonly metrics: PgStreamMetrics;
  private readonly database: StreamDatabase;
  private readonly waking: StreamWaking;
  private readonly writing: StreamWriting;
  private readonly store: ReadingStore;
  private readonly slices: SliceSource;
  private readonly readers: StreamReaders;
  private readonly keeping: StreamKeeping;
  private readonly ping: SharedLook<unknown>;
  private started: Promise<void> | undefined;

  constructor(
    instance: string,
    private readonly options: ResolvedPgStreamOptions,
    registry?: TimeoutRegistry,
  ) {
    this.logger = new Logger(`PgStream:${instance}`);
    this.emitter = new TypedEvents((event, error) =>
      this.logger.error('a listener failed', { event, error: describeError(error) }),
    );
    this.metrics = new Metrics(PG_STREAM_METRICS, instance);
    this.database = new StreamDatabase(options, this.metrics);
    const { schema, lockTimeoutMs } = options;
    const moved = (stream: string): void => this.waking.hints.moved(stream);
    shareDatabase(this, { database: this.database, schema, lockTimeoutMs, moved });
    this.waking = new StreamWaking(instance, this.database, options, this.emitter, this.metrics, registry);
    this.writing = new StreamWriting(this.database, options, this.waking.hints, this.metrics);
    this.store = new ReadingStore(this.database, options.schema);
    this.slices = new SliceSource(this.store, this.metrics);
    this.readers = new StreamReaders(this.slices, this.waking.watched, this.metrics);
    const observing = { instance, registry, events: this.emitter, metrics: this.metrics };
    this.keeping = new StreamKeeping(this.database, options, this.waking.hints, observing);
    this.ping = new SharedLook(() => this.database.query('SELECT 1', [], HEALTH_TIMEOUT_MS));
  }

  /**
   * Opens a stream for writing, creating it when it is missing. With `producer` its epoch is committed when this resolves: every append with an
   * older one is refused from then on. A stream that is closed can be opened, and refuses appends.
   *
   * @throws ProducerFencedError when the stream has seen a higher epoch, StreamExistsError with `ifExists: 'fail'`.
   */
  async open(stream: string, options: OpenOptions = {}): Promise<StreamWriter> {
    return this.writing.open(stream, options);
  }

  /**
   * Appends one chunk; creates the stream when it is missing. Strings are stored as UTF-8.
   *
   * @throws StreamClosedError, ProducerFencedError, ProducerSeqGapError, ExpectedIndexMismatchError, ChunkTooLargeError, WriterQueueFullError,
   *   StreamBusyError, StreamUnavailableError: nothing was written.
   *   AppendUnknownError: the connection was lost before the answer came; without `producer` at once, with it after about 10 s of repeating.
   */
  append(stream: string, data: string | Uint8Array, options: AppendOptions = {}): Promise<Appended> {
    return this.writing.append(stream, [data], options);
  }

  /** All of the chunks or none, one behind another, in one call with one number. An empty list is no call. @throws as `append` does */
  appendMany(stream: string, chunks: readonly (string | Uint8Array)[], options: AppendOptions = {}): Promise<Appended> {
    return this.writing.appendMany(stream, chunks, options);
  }

  /**
   * Closes a stream; a missing one is created closed, so that whoever waits for it ends. Repeating it with the same status changes nothing.
   *
   * @throws StreamClosedError when it was closed with another status, and the errors of `append`.
   */
  async closeStream(stream: string, options: CloseOptions = {}): Promise<void> {
    await this.writing.close(stream, options);
  }

  /** For one pass of `for await`. Nothing is read before its first chunk is asked for. @throws CursorInvalidError */
  read(stream: string, options: ReadOptions = {}): StreamReader {
    checkStreamName(stream);
    return this.readers.read(stream, options);
  }

  /** The bytes alone, pulled by the consumer. Each chunk is a copy that he owns. @throws CursorInvalidError */
  readable(stream: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    checkStreamName(stream);
    return readableOf(this.readers.read(stream, options));
  }

  /** What is there now. @throws StreamNotFoundError, CursorInvalidError, OptionsInvalidError for a limit out of bounds. */
  async page(stream: string, options: PageOptions = {}): Promise<Page> {
    checkStreamName(stream);
    return readPage(this.slices, stream, options);
  }

  /** @throws StreamNotFoundError */
  async info(stream: string, options: { readonly producer?: string } = {}): Promise<StreamInfo> {
    checkStreamName(stream);
    const info = await this.patiently(() => this.store.info(stream, options.producer));
    if (info === undefined) throw new StreamNotFoundError(`nobody has opened or written the stream '${stream}'.`);
    return info;
  }

  /** The names of a group's streams, sorted by their bytes. */
  async list(group: string): Promise<string[]> {
    return this.patiently(() => this.keeping.list(group));
  }

  /**
   * From now on the stream begins at `before`; positions stay as they are. Readers that are not there yet fail with CURSOR_TRIMMED. The room
   * comes back soon after.
   *
   * @throws StreamNotFoundError, StreamBusyError, OptionsInvalidError
   */
  async trim(stream: string, options: TrimOptions): Promise<void> {
    await this.keeping.trim(stream, options);
  }

  /**
   * Frees the name at once; who writes it next begins another stream, at 0. Readers fail with STREAM_DELETED. The room comes back soon after.
   * Repeating it, or deleting what is not there, changes nothing. @throws StreamBusyError
   */
  async delete(stream: string): Promise<void> {
    await this.keeping.delete(stream);
  }

  /**
   * Writes the stream as server-sent events, from behind the request's `Last-Event-ID`, until its end. Resolves when the response has ended or
   * the client has gone. A stream that nobody has opened is waited for.
   *
   * @throws CursorInvalidError or ShuttingDownError before anything is sent.
   */
  async sse(response: ServerResponse, stream: string, options: SseOptions = {}): Promise<void> {
    checkStreamName(stream);
    await this.readers.sse(response, stream, options, options.heartbeatMs ?? this.options.heartbeatMs);
  }

  /**
   * For `@Sse()`: the events of `sse`, read on from behind `cursor`, which `@LastEventId()` gives. Nest cannot pause it and drops clients that do
   * not read, who come back with their last id; `sse` has back-pressure. Completes without an `end` event at shutdown.
   *
   * @throws HttpException 204 when everything was seen; CursorInvalidError or ShuttingDownError before anything is sent.
   */
  async events(stream: string, options: EventsOptions = {}): Promise<Observable<MessageEvent>> {
    checkStreamName(stream);
    return eventsOf(this.readers, stream, { heartbeatMs: this.options.heartbeatMs, ...options }, this.logger);
  }

  /** Listens to this instance, in this process; returns the function that stops listening. A listener that throws is logged. */
  on<Name extends keyof PgStreamEvents>(event: Name, listener: (payload: PgStreamEvents[Name]) => unknown): () => void {
    return this.emitter.on(event, listener);
  }

  stats(): PgStreamStats {
    const { hints, poller, watched } = this.waking;
    return {
      listener: hints.state,
      reconnects: this.waking.reconnects,
      readers: this.readers.count,
      sseResponses: this.readers.sseCount,
      watchedStreams: watched.size,
      waitingStreams: watched.waiting().names.length,
      slicesRead: this.slices.slicesRead,
      pollQueries: poller.queries,
      notificationsSent: hints.notificationsSent,
      notificationsReceived: hints.notificationsReceived,
    };
  }

  /** Asks the database. Never rejects. */
  async health(): Promise<PgStreamHealth> {
    if (this.database.whenClosed.aborted)
      return { state: 'down', reason: 'closed', message: 'the application has shut down' };
    try {
      await this.ping.within(HEALTH_TIMEOUT_MS);
    } catch (error) {
      return { state: 'down', reason: 'database', message: describeError(error) };
    }
    return decideHealth(this.waking.facts);
  }

  /** Idempotent. */
  onModuleInit(): Promise<void> {
    return (this.started ??= this.start());
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.readers.close();
    await Promise.all([this.waking.stopWaking(), this.keeping.stop()]);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.metrics.stop();
    await this.readers.close();
    await this.writing.stop();
    await Promise.all([this.waking.stop(), this.keeping.stop()]);
    await this.database.close();
  }

  private async start(): Promise<void> {
    this.metrics.start(() => this.gauges());
    try {
      await prepareServer(this.database, this.options);
      await this.waking.start();
      this.keeping.start();
    } catch (error) {
      // Nest calls no shutdown hook of an application that did not start.
      await this.metrics.stop();
      await this.writing.stop();
      await this.waking.stop();
      await this.database.close();
      throw error;
    }
  }

  private gauges(): GaugeReadings<typeof PG_STREAM_METRICS> {
    const { listener, readers, sseResponses, watchedStreams, waitingStreams } = this.stats();
    return {
      'listener.up': listener === 'off' ? undefined : Number(listener === 'listening'),
      'pending.bytes': this.writing.pendingBytes,
      'readers.active': readers,
      'sse.responses': sseResponses,
      'streams.watched': watchedStreams,
      'streams.waiting': waitingStreams,
    };
  }

  private async patiently<T>(read: () => Promise<T>): Promise<T> {
    try {
      return (await repeatWhileLost(read, this.database.whenClosed)).result;
    } catch (error) {
      if (!isLostConnection(error)) throw error;
      throw new StreamUnavailableError('Postgres could not be reached to read of streams.', { cause: error.cause });
    }
  }
}
