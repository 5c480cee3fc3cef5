import type { ServerResponse } from 'node:http';
import {
  describeError,
  type GaugeReadings,
  type ListenerState,
  Metrics,
  SharedLook,
  type TimeoutRegistry,
  TypedEvents,
} from '@nest-baton/core';
import { type BeforeApplicationShutdown, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { isLostConnection } from './connecting/lost-connection.js';
import { repeatWhileLost } from './connecting/patience.js';
import { prepareServer } from './connecting/prepare-server.js';
import { StreamDatabase } from './connecting/stream-database.js';
import { StreamNotFoundError, StreamUnavailableError } from './pg-stream.errors.js';
import { decideHealth, type PgStreamHealth } from './operating/stream-health.js';
import type { PgStreamEvents } from './pg-stream.events.js';
import { PG_STREAM_METRICS, type PgStreamMetrics } from './pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from './pg-stream.options.js';
import type { Page, PageOptions, ReadOptions, SseOptions, StreamInfo, StreamReader } from './reading/chunk.js';
import { readPage } from './reading/page-reader.js';
import { ReadingStore } from './reading/reading-store.js';
import { SliceSource } from './reading/slice-source.js';
import { StreamReaders } from './reading/stream-readers.js';
import { StreamWaking } from './waking/stream-waking.js';
import type { Appended, AppendOptions, CloseOptions, OpenOptions } from './writing/append-options.js';
import { checkGroup, checkProducer, checkStreamName, toChunkData, toEnd } from './writing/call-check.js';
import { measuredAppend } from './writing/measured-append.js';
import { StreamAppender } from './writing/stream-appender.js';
import { NumberingWriter, type StreamWriter } from './writing/stream-writer.js';
import { WritingStore } from './writing/writing-store.js';

/** Counted since the start of the process. */
export interface PgStreamStats {
  /** `off` with `hints: 'off'`. */
  readonly listener: ListenerState | 'off';
  readonly reconnects: number;
  /** Readers that have begun and not ended, SSE responses among them. */
  readonly readers: number;
  readonly sseResponses: number;
  /** Streams that have a reader, and those of them for which at least one waits. */
  readonly watchedStreams: number;
  readonly waitingStreams: number;
  /** Queries of readers, and of the poll. */
  readonly slicesRead: number;
  readonly pollQueries: number;
  readonly notificationsSent: number;
  readonly notificationsReceived: number;
}

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
  private readonly events: TypedEvents<PgStreamEvents>;
  private readonly metrics: PgStreamMetrics;
  private readonly database: StreamDatabase;
  private readonly waking: StreamWaking;
  private readonly appender: StreamAppender;
  private readonly store: ReadingStore;
  private readonly slices: SliceSource;
  private readonly readers: StreamReaders;
  private readonly ping: SharedLook<unknown>;
  private started: Promise<void> | undefined;

  constructor(
    instance: string,
    private readonly options: ResolvedPgStreamOptions,
    registry?: TimeoutRegistry,
  ) {
    this.logger = new Logger(`PgStream:${instance}`);
    this.events = new TypedEvents((event, error) =>
      this.logger.error('a listener failed', { event, error: describeError(error) }),
    );
    this.metrics = new Metrics(PG_STREAM_METRICS, instance);
    this.database = new StreamDatabase(options, this.metrics);
    this.waking = new StreamWaking(instance, this.database, options, this.events, this.metrics, registry);
    const writing = new WritingStore(options.schema);
    this.appender = new StreamAppender(this.database, writing, this.waking.hints, this.metrics);
    this.store = new ReadingStore(this.database, options.schema);
    this.slices = new SliceSource(this.store, this.metrics);
    this.readers = new StreamReaders(this.slices, this.waking.watched, this.metrics);
    this.ping = new SharedLook(() => this.database.query('SELECT 1', [], HEALTH_TIMEOUT_MS));
  }

  /**
   * Opens a stream for writing, creating it when it is missing. With `producer` its epoch is committed when this resolves: every append with an
   * older one is refused from then on. A stream that is closed can be opened, and refuses appends.
   *
   * @throws ProducerFencedError when the stream has seen a higher epoch.
   */
  async open(stream: string, options: OpenOptions = {}): Promise<StreamWriter> {
    checkStreamName(stream);
    const { group, producer } = options;
    checkGroup(group);
    if (producer !== undefined) checkProducer(producer, ['epoch']);
    const opened = await this.appender.open(stream, group, producer);
    return new NumberingWriter(this.appender, stream, producer, opened, this.options.maxChunkBytes, this.metrics);
  }

  /**
   * Appends one chunk; creates the stream when it is missing. Strings are stored as UTF-8.
   *
   * @throws StreamClosedError, ProducerFencedError, ProducerSeqGapError, ChunkTooLargeError, StreamUnavailableError: nothing was written.
   *   AppendUnknownError: the connection was lost before the answer came; without `producer` at once, with it after about 10 s of repeating.
   */
  async append(stream: string, data: string | Uint8Array, options: AppendOptions = {}): Promise<Appended> {
    const { producer, transaction } = options;
    return measuredAppend(this.metrics, transaction !== undefined, async () => {
      checkStreamName(stream);
      if (producer !== undefined) checkProducer(producer, ['epoch', 'seq']);
      const bytes = toChunkData(data, this.options.maxChunkBytes);
      if (transaction !== undefined) return this.appender.appendIn(transaction, stream, bytes, producer);
      return this.appender.append(stream, bytes, producer);
    });
  }

  /**
   * Closes a stream; a missing one is created closed, so that whoever waits for it ends. Repeating it with the same status changes nothing.
   *
   * @throws StreamClosedError when it was closed with another status, and the errors of `append`.
   */
  async closeStream(stream: string, options: CloseOptions = {}): Promise<void> {
    checkStreamName(stream);
    const { producer, transaction } = options;
    if (producer !== undefined) checkProducer(producer, ['epoch', 'seq']);
    const end = toEnd(options);
    if (transaction !== undefined) await this.appender.closeIn(transaction, stream, end, producer);
    else await this.appender.close(stream, end, producer);
  }

  /** For one pass of `for await`. Nothing is read before its first chunk is asked for. @throws CursorInvalidError */
  read(stream: string, options: ReadOptions = {}): StreamReader {
    checkStreamName(stream);
    return this.readers.read(stream, options);
  }

  /** What is there now. @throws StreamNotFoundError, CursorInvalidError, OptionsInvalidError for a limit out of bounds. */
  async page(stream: string, options: PageOptions = {}): Promise<Page> {
    checkStreamName(stream);
    return readPage(this.slices, stream, options);
  }

  /** @throws StreamNotFoundError */
  async info(stream: string, options: { readonly producer?: string } = {}): Promise<StreamInfo> {
    checkStreamName(stream);
    const info = await this.readable(() => this.store.info(stream, options.producer));
    if (info === undefined) throw new StreamNotFoundError(`nobody has opened or written the stream '${stream}'.`);
    return info;
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

  /** Listens to this instance, in this process; returns the function that stops listening. A listener that throws is logged. */
  on<Name extends keyof PgStreamEvents>(event: Name, listener: (payload: PgStreamEvents[Name]) => unknown): () => void {
    return this.events.on(event, listener);
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
    const { listenerState, isListening, poller } = this.waking;
    const lost = listenerState === 'off' ? 'off' : 'lost';
    return decideHealth({ listener: isListening ? 'listening' : lost, isPollWorking: poller.isWorking });
  }

  /** Idempotent. */
  onModuleInit(): Promise<void> {
    return (this.started ??= this.start());
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.readers.close();
    await this.waking.stopWaking();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.metrics.stop();
    await this.readers.close();
    await this.waking.stop();
    await this.database.close();
  }

  private async start(): Promise<void> {
    this.metrics.start(() => this.gauges());
    try {
      await prepareServer(this.database, this.options);
      await this.waking.start();
    } catch (error) {
      // Nest calls no shutdown hook of an application that did not start.
      await this.metrics.stop();
      await this.waking.stop();
      await this.database.close();
      throw error;
    }
  }

  private gauges(): GaugeReadings<typeof PG_STREAM_METRICS> {
    const { listener, readers, sseResponses, watchedStreams, waitingStreams } = this.stats();
    return {
      'listener.up': listener === 'off' ? undefined : Number(listener === 'listening'),
      'readers.active': readers,
      'sse.responses': sseResponses,
      'streams.watched': watchedStreams,
      'streams.waiting': waitingStreams,
    };
  }

  private async readable<T>(read: () => Promise<T>): Promise<T> {
    try {
      return (await repeatWhileLost(read, this.database.whenClosed)).result;
    } catch (error) {
      if (!isLostConnection(error)) throw error;
      throw new StreamUnavailableError('Postgres could not be reached to read a stream.', { cause: error.cause });
    }
  }
}
