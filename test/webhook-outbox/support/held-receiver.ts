import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A receiver whose answers wait for the test; remembers the `webhook-id` of each request in order, by path. */
export class HeldReceiver {
  readonly ids = new Map<string, string[]>();
  private held: { readonly path: string; readonly response: ServerResponse }[] = [];
  private readonly open = new Set<string>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<HeldReceiver> {
    const server = createServer();
    const receiver = new HeldReceiver(server);
    server.on('request', (request, response) => {
      const path = request.url ?? '';
      request.resume();
      receiver.ids.set(path, [...(receiver.ids.get(path) ?? []), String(request.headers['webhook-id'])]);
      if (receiver.open.has(path)) response.writeHead(204).end();
      else receiver.held.push({ path, response });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  count(path: string): number {
    return this.ids.get(path)?.length ?? 0;
  }

  /** Answers what waits at the path with 204. */
  answer(path: string): void {
    for (const { response } of this.held.filter((one) => one.path === path)) response.writeHead(204).end();
    this.held = this.held.filter((one) => one.path !== path);
  }

  /** From now on requests to the path are answered at once. */
  openUp(path: string): void {
    this.open.add(path);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
