import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** One end of a connection, with everything that came out of it. */
export class RawEnd {
  received = Buffer.alloc(0);
  hasEnded = false;
  isClosed = false;
  errorCode: string | undefined;
  firstByteAt: number | undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (bytes) => {
      this.firstByteAt ??= performance.now();
      this.received = Buffer.concat([this.received, bytes]);
    });
    socket.on('end', () => (this.hasEnded = true));
    socket.on('close', () => (this.isClosed = true));
    socket.on('error', (error) => (this.errorCode = (error as { code?: string }).code));
  }

  get text(): string {
    return this.received.toString();
  }

  /** Neither an end nor a reset was seen. */
  get isUntouched(): boolean {
    return !this.hasEnded && !this.isClosed && this.errorCode === undefined;
  }
}

/** A TCP server that does nothing by itself: the test speaks for it. */
export class RawServer {
  readonly ends: RawEnd[] = [];
  private readonly clients: Socket[] = [];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<RawServer> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const raw = new RawServer(server);
    server.on('connection', (socket) => raw.ends.push(new RawEnd(socket)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return raw;
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: (this.server.address() as AddressInfo).port };
  }

  /** A client that leaves both directions to the test. */
  async client(port: number): Promise<RawEnd> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.clients.push(socket);
    const end = new RawEnd(socket);
    await once(socket, 'connect');
    return end;
  }

  async stop(): Promise<void> {
    for (const socket of [...this.clients, ...this.ends.map((end) => end.socket)]) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
