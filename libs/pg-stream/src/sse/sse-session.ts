import { errorCode } from '@nest-baton/core';
import type { ServerResponse } from 'node:http';
import type { StreamEnd } from '../reading/chunk.js';
import type { StreamReading } from '../reading/stream-reading.js';
import { chunkFrame, endFrame, HEARTBEAT_FRAME } from './sse-frame.js';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // nginx would collect the events and deliver them in lumps.
  'x-accel-buffering': 'no',
};

/** The client has gone: nobody to tell. */
const DISCONNECTED = Symbol('disconnected');

/**
 * One response that follows one reader.
 *
 * - Back-pressure: the next chunk is taken when the socket has taken the last one.
 * - A client that disconnects frees the reader at once, also while it waits.
 * - At shutdown the response ends without an `end` event, so that the client comes back, elsewhere. It is cut when the client does not read:
 *   the end would wait behind what it has not taken.
 */
export class SseSession {
  private heartbeat: NodeJS.Timeout | undefined;

  constructor(
    private readonly response: ServerResponse,
    private readonly reading: StreamReading,
    private readonly heartbeatMs: number,
  ) {}

  /** Resolves when the response has ended. Rejects, with the response destroyed, when the stream could not be read any further. */
  async run(): Promise<void> {
    const { response, reading } = this;
    const disconnect = (): void => reading.stop(DISCONNECTED);
    response.on('close', disconnect);
    // Without a listener a client that resets the connection would end the process; 'close' follows.
    response.on('error', disconnect);
    // Kept alive, it would hold back the server's close by the seconds for which another request is waited for.
    if (response.req.httpVersionMajor === 1) response.setHeader('connection', 'close');
    response.writeHead(200, HEADERS);
    // Express answers HEAD with the handler of GET: what follows would be thrown away, and waited for.
    if (response.req.method === 'HEAD') {
      reading.stop(DISCONNECTED);
      response.off('close', disconnect).end();
      return;
    }
    response.flushHeaders();
    this.startHeartbeat();
    try {
      await this.follow();
    } catch (error) {
      if (error === DISCONNECTED) return;
      if (errorCode(error) === 'SHUTTING_DOWN') return this.leave();
      response.destroy();
      throw error;
    } finally {
      clearInterval(this.heartbeat);
      response.off('close', disconnect);
    }
  }

  private async follow(): Promise<void> {
    for await (const chunk of this.reading) await this.write(chunkFrame(chunk));
    const end = await this.reading.ended;
    if (end !== undefined) await this.finish(end);
    else this.response.end();
  }

  private async finish(end: StreamEnd): Promise<void> {
    await this.write(endFrame(this.reading.endCursor, end));
    this.leave();
  }

  private leave(): void {
    if (this.response.writableNeedDrain) this.response.destroy();
    else this.response.end();
  }

  /** Returns when the client has taken the frame, has gone, or need not take it any more. */
  private async write(frame: string): Promise<void> {
    const { response } = this;
    const { whenStopped } = this.reading;
    if (response.destroyed || response.write(frame) || whenStopped.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        response.off('drain', done);
        response.off('close', done);
        whenStopped.removeEventListener('abort', done);
        resolve();
      };
      response.on('drain', done);
      response.on('close', done);
      whenStopped.addEventListener('abort', done);
    });
  }

  private startHeartbeat(): void {
    if (this.heartbeatMs <= 0) return;
    this.heartbeat = setInterval(() => {
      // A client that does not read gets none: they would pile up.
      if (!this.response.writableNeedDrain) this.response.write(HEARTBEAT_FRAME);
    }, this.heartbeatMs);
    this.heartbeat.unref();
  }
}
