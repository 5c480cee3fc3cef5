import { errorCode } from '@nest-baton/core';
import type { ServerResponse } from 'node:http';
import { isJson, isText } from '../protocol/content-type.js';
import { controlOf, eventOf } from '../protocol/event-stream.js';
import { jsonArray } from '../protocol/json-messages.js';
import { isProtocolRefusal, statusOf } from '../protocol/protocol-refusal.js';
import type { ReadQuery } from '../protocol/read-query.js';
import { encodeOffset } from '../protocol/stream-offset.js';
import type { StreamRecord } from '../storing/stream-record.js';
import type { Piece, Reading } from './reading.js';
import { timeLimit } from './time-limit.js';

const COMMENT = ':\n\n';

export interface EventStreamTimes {
  readonly heartbeatMs: number;
  readonly sseLifetimeMs: number;
}

/**
 * `live=sse`: one response that gives what is there, and then what comes, each piece followed by where the client is.
 *
 * - Back-pressure: the next page is read when the socket has taken the last.
 * - It ends with the stream, after its lifetime, when the client leaves, at shutdown, and when the stream is deleted or does not keep the
 *   client's place; all but the first without `streamClosed`, so that the client comes back with the offset it has, and is told what is wrong.
 */
export class EventStreamSession {
  /** Across pieces, since a character may begin in one chunk and end in the next. */
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private isOver = false;

  constructor(
    private readonly response: ServerResponse,
    private readonly reading: Reading,
    private readonly query: ReadQuery,
    private readonly times: EventStreamTimes,
    private readonly left: AbortSignal,
  ) {}

  async run(record: StreamRecord, position: number | undefined): Promise<void> {
    const { response, times } = this;
    response.setHeader('content-type', 'text/event-stream');
    response.setHeader('cache-control', 'no-cache, no-transform');
    response.setHeader('x-accel-buffering', 'no');
    if (!isText(record.contentType)) response.setHeader('stream-sse-data-encoding', 'base64');
    // Kept alive, it would hold back the server's close by the seconds for which another request is waited for.
    if (response.req.httpVersionMajor === 1) response.setHeader('connection', 'close');
    response.writeHead(200);
    response.flushHeaders();
    const heartbeat = times.heartbeatMs > 0 ? setInterval(() => this.beat(), times.heartbeatMs).unref() : undefined;
    const { signal: over, clear } = timeLimit(this.left, times.sseLifetimeMs);
    const end = (): void => void (this.isOver = true);
    over.addEventListener('abort', end);
    if (over.aborted) end();
    try {
      await this.follow(record, position, over).catch(ignoreRefusal);
      if (!response.writableNeedDrain) response.end();
      else response.destroy();
    } catch (error) {
      response.destroy();
      throw error;
    } finally {
      clearInterval(heartbeat);
      clear();
      over.removeEventListener('abort', end);
    }
  }

  private async follow(record: StreamRecord, position: number | undefined, over: AbortSignal): Promise<void> {
    let piece = await this.reading.pieceAt(record, position);
    while (!this.isOver) {
      const { page, end } = piece;
      await this.write(this.framesOf(piece), over);
      if (page.done) return;
      if (!page.hasMore && !(await this.reading.waitForMore(record, end, over))) return;
      if (!this.isOver) piece = await this.reading.pieceAt(record, end);
    }
  }

  private framesOf(piece: Piece): string {
    const { record, page, end } = piece;
    const data = this.dataOf(piece);
    const control = {
      streamNextOffset: encodeOffset({ originId: record.originId, position: end }),
      ...(!page.done && { streamCursor: this.reading.cursor(this.query) }),
      ...(!page.hasMore && { upToDate: true as const }),
      ...(page.done && { streamClosed: true as const }),
    };
    return (data === undefined ? '' : eventOf('data', data)) + controlOf(control);
  }

  private dataOf({ record, page }: Piece): string | undefined {
    if (page.data.every(({ data }) => data.length === 0)) return undefined;
    if (isJson(record.contentType)) return jsonArray(page.data);
    const bytes = Buffer.concat(page.data.map(({ data }) => data));
    if (!isText(record.contentType)) return bytes.toString('base64');
    return this.decoder.decode(bytes, { stream: !page.done });
  }

  /** Returns when the client has taken it, or nothing more is to be told. */
  private async write(frames: string, over: AbortSignal): Promise<void> {
    const { response } = this;
    if (response.destroyed || response.write(frames) || over.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        response.off('drain', done);
        over.removeEventListener('abort', done);
        resolve();
      };
      response.on('drain', done);
      over.addEventListener('abort', done);
    });
  }

  private beat(): void {
    // A client that does not read gets none: they would pile up.
    if (!this.response.writableNeedDrain) this.response.write(COMMENT);
  }
}

/** The next request of the client is refused with it. */
function ignoreRefusal(error: unknown): void {
  const status = isProtocolRefusal(error) ? error.status : statusOf(errorCode(error));
  if (status >= 500) throw error;
}
