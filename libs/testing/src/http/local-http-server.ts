import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than any test, so that no connection is closed by chance in the middle of one. */
const KEEP_ALIVE_MS = 120_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export type RequestHandler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => Promise<void>;

/** An HTTP server on 127.0.0.1 that hands over whole requests, and whose `stop()` also ends requests that were never answered. */
export class LocalHttpServer {
  private readonly stopping = new AbortController();

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(handle: RequestHandler, port = 0): Promise<LocalHttpServer> {
    const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      response.on('error', () => undefined);
      readBody(request)
        .then((body) => handle(request, response, body))
        .catch(() => request.socket.destroy());
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new LocalHttpServer(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  /** Rejects when the server stops first. */
  async delay(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal });
  }

  /** Returns when the port is free and no connection is left. May be called twice. */
  async stop(): Promise<void> {
    if (!this.server.listening) return;
    this.stopping.abort();
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

/** Drops the connection with a reset, as a crashed peer's kernel does. */
export function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) throw new Error(`a body of more than ${MAX_BODY_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
