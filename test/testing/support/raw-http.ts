import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection without a client library: what is written is what goes out, and what comes is kept. */
export class RawConnection {
  private readonly pieces: Buffer[] = [];
  /** `fin`: the server closed. An error code: it did worse. */
  readonly ended: Promise<string>;

  private constructor(readonly socket: Socket) {
    socket.on('data', (piece) => this.pieces.push(piece));
    this.ended = new Promise((resolve) => {
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      socket.once('close', () => resolve('fin'));
    });
  }

  static async open(url: string): Promise<RawConnection> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const connection = new RawConnection(socket);
    // A server may drop a connection so early that the kernel tells of it instead of the connection.
    await Promise.race([once(socket, 'connect'), connection.ended]).catch(() => undefined);
    return connection;
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString('latin1');
  }

  get bytes(): number {
    return this.pieces.reduce((sum, { length }) => sum + length, 0);
  }

  write(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** A whole POST, with `connection: keep-alive`, unless headers say otherwise. */
  post(path: string, body: string, headers: Readonly<Record<string, string>> = {}): void {
    const all = { host: 'localhost', 'content-length': `${Buffer.byteLength(body)}`, ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    this.write(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
  }

  close(): void {
    this.socket.destroy();
  }
}
