import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Connection } from './connections.js';

/** Far above what anything under test sends in one request. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

/** Rejection of whatever waits for a peer that is gone. Nobody is told: the peer cannot be, and the test knows. */
export class PeerGoneError extends Error {
  override readonly name = 'PeerGoneError';
}

/** One request and its answer, from the moment its head was read. The body waits in the kernel until somebody asks for it. */
export class Exchange {
  /** Aborted when the response has been sent, or when the connection is gone: whatever waits on behalf of this request ends then. */
  readonly signal: AbortSignal;
  private readonly pieces: Buffer[] = [];
  private bytes = 0;
  private isEnded = false;
  private reading: AsyncIterator<Buffer, undefined> | undefined;

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    readonly connection: Connection,
    /** From 1 on its connection. */
    readonly nthOnConnection: number,
  ) {
    const controller = new AbortController();
    this.signal = controller.signal;
    const leave = (): void => {
      // A connection lives for many exchanges: what each of them listens to must not pile up on it.
      connection.socket.off('close', leave);
      controller.abort();
    };
    response.on('error', () => undefined);
    response.once('close', leave);
    connection.socket.once('close', leave);
  }

  /** What was read of the body so far, to the byte. */
  get received(): Buffer {
    return Buffer.concat(this.pieces);
  }

  /** Whether the body was read to its end. */
  get isWhole(): boolean {
    return this.isEnded;
  }

  /** Reads the whole body, or, with `bytes`, at least that much of it. */
  async readBody(bytes = Infinity): Promise<Buffer> {
    this.reading ??= this.request[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    while (!this.isEnded && this.bytes < bytes) {
      const { done, value }: IteratorResult<Buffer, undefined> = await this.reading.next();
      if (done === true) {
        this.isEnded = true;
        break;
      }
      this.bytes += value.length;
      if (this.bytes > MAX_BODY_BYTES) throw new RangeError(`a body of more than ${MAX_BODY_BYTES} bytes`);
      this.pieces.push(value);
    }
    return this.received;
  }

  /** Drops the connection with a reset, as the kernel of a crashed peer does. */
  reset(): void {
    this.connection.reset();
  }

  /** Closes the connection in the ordinary way. What was written before is still sent. */
  hangUp(): void {
    this.request.socket.destroySoon();
  }

  /** Waits this long. @throws PeerGoneError when the client goes first, or the server stops. */
  async pause(ms: number): Promise<void> {
    await this.until((resolve) => {
      const timer = setTimeout(resolve, ms);
      return () => clearTimeout(timer);
    });
  }

  /** Waits for what `begin` resolves with; `begin` returns what undoes it. @throws PeerGoneError when the client goes first. */
  async until(begin: (resolve: () => void) => () => void): Promise<void> {
    let undo = (): void => undefined;
    let leave = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        leave = () => reject(new PeerGoneError('the client has gone'));
        if (this.signal.aborted) return leave();
        this.signal.addEventListener('abort', leave, { once: true });
        undo = begin(resolve);
      });
    } finally {
      undo();
      this.signal.removeEventListener('abort', leave);
    }
  }
}
