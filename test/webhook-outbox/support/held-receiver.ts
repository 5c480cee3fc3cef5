import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OutboxWorld } from './outbox-world.js';
import { type SignedRequest, verifyRequests } from './verified-requests.js';

/** A receiver whose answers wait for the test; remembers the `webhook-id` of each request in order, by path. At its end each of them is verified. */
export class HeldReceiver {
  readonly ids = new Map<string, string[]>();
  readonly requests: SignedRequest[] = [];
  private held: { readonly path: string; readonly response: ServerResponse }[] = [];
  private readonly open = new Set<string>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<HeldReceiver> {
    const server = createServer();
    const receiver = new HeldReceiver(server);
    server.on('request', (request, response) => receiver.receive(request, response));
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
    verifyRequests(this);
  }

  private receive(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { headers } = request;
      this.requests.push({ path, headers, body: Buffer.concat(pieces), isWhole: true, receivedAt: Date.now() });
      this.ids.set(path, [...(this.ids.get(path) ?? []), String(headers['webhook-id'])]);
      if (this.open.has(path)) response.writeHead(204).end();
      else this.held.push({ path, response });
    });
  }
}

export interface HeldWorld {
  readonly world: OutboxWorld;
  readonly receiver: HeldReceiver;
  stop(): Promise<void>;
}

/** A world whose endpoints are at a receiver that holds its answers. */
export async function createHeldWorld(): Promise<HeldWorld> {
  const world = await OutboxWorld.create();
  const receiver = await HeldReceiver.start();
  // The receiver first: requests that it holds would be waited for.
  return { world, receiver, stop: () => receiver.stop().finally(() => world.stop()) };
}
