import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP path to a server that can go dead: from then on it takes bytes and passes none on, and nobody is told. */
export class SwallowingProxy {
  private isDead = false;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  /** @param swallowsFrom once a client has sent this text, the path is dead. */
  static async start(target: string, swallowsFrom?: string): Promise<SwallowingProxy> {
    const { hostname, port } = new URL(target);
    const server = createServer((client) => proxy.relay(client, connect(Number(port), hostname), swallowsFrom));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = new URL(target);
    url.hostname = '127.0.0.1';
    url.port = String(typeof address === 'object' ? address?.port : '');
    const proxy = new SwallowingProxy(server, url.href);
    return proxy;
  }

  /** Client sockets that are open, as the proxy sees it. */
  get connections(): number {
    return this.sockets.size;
  }

  goDead(): void {
    this.isDead = true;
  }

  goOn(): void {
    this.isDead = false;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private relay(client: Socket, upstream: Socket, swallowsFrom: string | undefined): void {
    this.sockets.add(client);
    client.on('data', (bytes) => {
      if (swallowsFrom !== undefined && bytes.includes(swallowsFrom)) this.isDead = true;
      if (!this.isDead) upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (!this.isDead) client.write(bytes);
    });
    client.on('close', () => {
      this.sockets.delete(client);
      upstream.destroy();
    });
    upstream.on('close', () => {
      if (!this.isDead) client.destroy();
    });
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
  }
}
