import type { PgStreamService } from '@nest-baton/pg-stream';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A bare HTTP server that answers `/<stream>` with the stream's events. */
export class SseEdge {
  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(streams: PgStreamService): Promise<SseEdge> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, 'http://x');
      streams.sse(response, decodeURIComponent(pathname.slice(1))).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new SseEdge(server, (server.address() as AddressInfo).port);
  }

  /** Sockets that are open now. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
