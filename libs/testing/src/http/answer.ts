import { STATUS_CODES } from 'node:http';
import type { Exchange } from './exchange.js';

/** An answer of HTTP as it is meant to arrive. */
export interface Answer {
  readonly status: number;
  /** A list is a header line for each. */
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
}

export type AnswerHeaders = Readonly<Record<string, string | readonly string[]>>;

/** The way back of one exchange. Writes wait while the client does not read, and count what the kernel took. */
export class Wire {
  private sentBytes = 0;

  constructor(
    readonly exchange: Exchange,
    /** Told after each write how much was handed over in all, headers included where they are not Node's own. */
    private readonly onSent: (bytes: number) => void = () => undefined,
  ) {}

  /** The answer as Node sends it, keep-alive included. Resolves when it is out. */
  async whole({ status, headers, body }: Answer): Promise<void> {
    const { response } = this.exchange;
    const isBodiless = status === 204 || status === 304 || this.exchange.request.method === 'HEAD';
    const length = isBodiless || hasField(headers, 'content-length') ? {} : { 'content-length': `${body.length}` };
    response.writeHead(status, { ...length, ...mutable(headers) });
    const sent = new Promise<void>((resolve) => response.once('finish', resolve).once('close', resolve));
    response.end(isBodiless ? undefined : body);
    await sent;
    this.count(body.length);
  }

  /** Past HTTP, straight into the connection. After the first call, `whole` is no longer possible. */
  async write(bytes: string | Buffer): Promise<void> {
    if (bytes.length === 0) return;
    const { socket } = this.exchange.request;
    this.count(Buffer.byteLength(bytes));
    if (socket.write(bytes)) {
      // A loop of writes that are all taken at once would starve the process that it shares with the client.
      await new Promise(setImmediate);
      if (!this.exchange.signal.aborted) return;
    }
    await this.exchange.until((resolve) => {
      socket.once('drain', resolve);
      return () => socket.off('drain', resolve);
    });
  }

  /** Everything written so far is in the kernel's hands. */
  async flushed(): Promise<void> {
    const { socket } = this.exchange.request;
    if (socket.writableLength === 0) return;
    await this.exchange.until((resolve) => {
      socket.write('', () => resolve());
      return () => undefined;
    });
  }

  end(): void {
    this.exchange.hangUp();
  }

  private count(bytes: number): void {
    this.sentBytes += bytes;
    this.onSent(this.sentBytes);
  }
}

/** Status line, headers and the empty line. `isUnbounded`: without a length, the end of the connection is the end of the body. */
export function httpHead(answer: Answer, { version = '1.1', isUnbounded = false } = {}): string {
  const length =
    isUnbounded || hasField(answer.headers, 'content-length', 'transfer-encoding')
      ? []
      : [`content-length: ${answer.body.length}`];
  const lines = [
    `HTTP/${version} ${answer.status} ${STATUS_CODES[answer.status] ?? 'Unknown'}`,
    ...headLines(answer.headers),
    ...length,
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function headLines(headers: AnswerHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((one) => `${name}: ${one}`),
  );
}

function hasField(headers: AnswerHeaders, ...names: readonly string[]): boolean {
  return Object.keys(headers).some((name) => names.includes(name.toLowerCase()));
}

function mutable(headers: AnswerHeaders): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
  );
}
