import { type Clock, errorCode, type Random } from '@nest-baton/core';
import type { Page } from '../../reading/chunk.js';
import { decodeCursor, encodeCursor } from '../../reading/cursor.js';
import type { PgStreamService } from '../../pg-stream.service.js';
import type { ResolvedDurableStreamsOptions } from '../durable-streams.options.js';
import { isJson } from '../protocol/content-type.js';
import { jsonArray } from '../protocol/json-messages.js';
import { liveCursor } from '../protocol/live-cursor.js';
import { badRequest, ProtocolRefusal } from '../protocol/protocol-refusal.js';
import { headerOf } from '../protocol/request-headers.js';
import type { ReadQuery } from '../protocol/read-query.js';
import type { StartOffset } from '../protocol/stream-offset.js';
import type { DurableStorage } from '../storing/durable-storage.js';
import type { StreamRecord } from '../storing/stream-record.js';
import { type Answer, closedHeader, offsetHeader, type ProtocolRequest } from './answer.js';
import { timeLimit } from './time-limit.js';

/** How a reader ends whose stream has lost its name, before it began or after. */
const REMOVED: readonly unknown[] = ['STREAM_NOT_FOUND', 'STREAM_DELETED', 'CURSOR_INVALID'];

/** Chunks of one answer; it also ends at 1 MiB. */
const PAGE_LIMIT = 1_000;

/** What lies at a position of a stream now. */
export interface Piece {
  readonly record: StreamRecord;
  readonly page: Page;
  /** Where the first byte lies, and where the next one will. */
  readonly start: number;
  readonly end: number;
}

/** GET without `live=sse`, and HEAD: what is there now, or after a wait. */
export class Reading {
  constructor(
    private readonly streams: PgStreamService,
    private readonly storage: DurableStorage,
    private readonly options: ResolvedDurableStreamsOptions,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  async head(stream: string): Promise<Answer> {
    const record = await this.storage.get(stream);
    const { ttlSeconds, expiresAt } = record.expiry;
    return {
      status: 200,
      headers: {
        'content-type': record.contentType,
        'cache-control': 'no-store',
        ...offsetHeader(record, record.nextIndex),
        ...closedHeader(record.status !== 'open'),
        ...(ttlSeconds !== undefined && { 'stream-ttl': String(ttlSeconds) }),
        ...(expiresAt !== undefined && { 'stream-expires-at': expiresAt.toISOString() }),
      },
    };
  }

  /** The stream and the position that a read begins at. @throws ProtocolRefusal 400, 404, 410 */
  async begin(
    stream: string,
    offset: StartOffset,
  ): Promise<{ readonly record: StreamRecord; readonly position: number | undefined }> {
    const record = await this.storage.get(stream);
    const position = positionOf(record, offset);
    await this.storage.touch(record);
    return { record, position };
  }

  async read(request: ProtocolRequest, query: ReadQuery): Promise<Answer> {
    const { record, position } = await this.begin(request.stream, query.offset);
    if (query.live === undefined && query.offset === 'tail') return this.tailAnswer(record);
    const piece = await this.pieceAt(record, position);
    if (query.live === undefined) return this.catchUpAnswer(request, piece);
    if (piece.page.data.length > 0) return this.pieceAnswer(piece, this.cursorHeader(query, false));
    if (piece.page.done) return this.emptyAnswer(piece, query);
    const { signal, clear } = timeLimit(request.signal, this.options.longPollTimeoutMs);
    const isStaying = await this.waitForMore(record, piece.end, signal).finally(clear);
    // The next request of the client is for another process.
    if (!isStaying) return { ...this.emptyAnswer(piece, query), isLast: true };
    const later = await this.pieceAt(await this.again(record), piece.end);
    if (later.page.data.length > 0) return this.pieceAnswer(later, this.cursorHeader(query, false));
    return this.emptyAnswer(later, query);
  }

  /** One page. @throws ProtocolRefusal or a typed error: the stream was removed meanwhile, or does not keep the position any more. */
  async pieceAt(record: StreamRecord, position: number | undefined): Promise<Piece> {
    const from = position === undefined ? {} : { startIndex: position };
    const page = await this.streams.page(record.name, { ...from, limit: PAGE_LIMIT });
    const { streamId, position: end } = decodeCursor(page.cursor);
    if (streamId !== record.id) throw anotherStream();
    // Closed since it was looked up: so it is too when it is deleted and forks of it live.
    if (page.done && record.status === 'open') await this.again(record);
    return { record, page, start: page.data[0]?.index ?? end, end };
  }

  /**
   * Returns when something lies at `position`, at the stream's end, when it was removed, or when `signal` aborts: look again. False when the
   * process shuts down.
   */
  async waitForMore(record: StreamRecord, position: number, signal: AbortSignal): Promise<boolean> {
    // By cursor, which knows the stream from a later one of its name.
    const cursor = encodeCursor({ streamId: record.id, position, isEnd: false });
    const reader = this.streams.read(record.name, { cursor, ifMissing: 'fail', signal });
    const chunks = reader[Symbol.asyncIterator]();
    try {
      await chunks.next();
      return true;
    } catch (error) {
      const code = errorCode(error);
      if (code === 'SHUTTING_DOWN') return false;
      if (!signal.aborted && !REMOVED.includes(code)) throw error;
      return true;
    } finally {
      await chunks.return?.();
    }
  }

  /** Above what the client has, so that no cache answers him with the same for ever. */
  cursor({ cursor }: Pick<ReadQuery, 'cursor'>): string {
    return liveCursor(cursor, this.clock, this.random);
  }

  /** As it is now. @throws ProtocolRefusal 404 when it was removed, 410 when its name is kept for forks or is another stream's. */
  private async again(record: StreamRecord): Promise<StreamRecord> {
    const now = await this.storage.get(record.name);
    if (now.id !== record.id) throw anotherStream();
    return now;
  }

  private cursorHeader(query: ReadQuery, isClosed: boolean): Record<string, string> {
    return isClosed ? {} : { 'stream-cursor': this.cursor(query) };
  }

  private tailAnswer(record: StreamRecord): Answer {
    return {
      status: 200,
      headers: {
        'content-type': record.contentType,
        'cache-control': 'no-store',
        'stream-up-to-date': 'true',
        ...offsetHeader(record, record.nextIndex),
        ...closedHeader(record.status !== 'open'),
      },
      body: isJson(record.contentType) ? '[]' : '',
    };
  }

  private catchUpAnswer(request: ProtocolRequest, piece: Piece): Answer {
    const answer = this.pieceAnswer(piece, {});
    const asked = headerOf(request.headers, 'if-none-match');
    const etag = answer.headers['etag'] as string;
    if (asked === undefined || !matches(asked, etag)) return answer;
    const { 'content-type': _, ...headers } = answer.headers;
    return { status: 304, headers };
  }

  private pieceAnswer({ record, page, start, end }: Piece, extra: Record<string, string>): Answer {
    return {
      status: 200,
      headers: {
        'content-type': record.contentType,
        etag: `"${record.id}:${start}:${end}${page.done ? ':c' : ''}"`,
        'cache-control': this.cacheControl(page),
        ...offsetHeader(record, end),
        ...(!page.hasMore && { 'stream-up-to-date': 'true' }),
        ...closedHeader(page.done),
        ...extra,
      },
      body: isJson(record.contentType) ? jsonArray(page.data) : Buffer.concat(page.data.map(({ data }) => data)),
    };
  }

  /** Nothing came: at the end, or in time. */
  private emptyAnswer({ record, page, end }: Piece, query: ReadQuery): Answer {
    return {
      status: 204,
      headers: {
        'cache-control': 'no-store',
        'stream-up-to-date': 'true',
        ...offsetHeader(record, end),
        ...closedHeader(page.done),
        ...this.cursorHeader(query, page.done),
      },
    };
  }

  /** What has more behind it never changes. What ends at the tail is asked for again, since the next chunk belongs to the same URL. */
  private cacheControl(page: Page): string {
    const { cacheScope } = this.options;
    return page.hasMore ? `${cacheScope}, max-age=60, stale-while-revalidate=300` : `${cacheScope}, no-cache`;
  }
}

/** @throws ProtocolRefusal 400, or 410 for an offset of an earlier stream of the name, or of what is not kept any more. */
function positionOf(record: StreamRecord, offset: StartOffset): number | undefined {
  if (offset === 'start') return undefined;
  if (offset === 'tail') return record.nextIndex;
  if (offset.originId < record.originId) throw anotherStream();
  if (offset.originId !== record.originId || offset.position > record.nextIndex)
    throw badRequest('the offset was not given by this stream: read from the start.');
  if (offset.position < record.firstIndex)
    throw new ProtocolRefusal(
      410,
      'CURSOR_TRIMMED',
      'the stream does not keep what lies behind that offset any more: read from the start.',
    );
  return offset.position;
}

function anotherStream(): ProtocolRefusal {
  return new ProtocolRefusal(
    410,
    'CURSOR_TRIMMED',
    'the offset is of an earlier stream of this name: read from the start.',
  );
}

function matches(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.split(',').some((given) => ['*', etag, `W/${etag}`].includes(given.trim()));
}
