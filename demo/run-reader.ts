import { createHash } from 'node:crypto';
import { createParser } from 'eventsource-parser';

/** One reader of one run's stream: reads over SSE, is cut, and resumes after the last id it has seen. */
export class RunReader {
  private readonly hash = createHash('sha256');
  private lastEventId: string | undefined;
  private nextIndex = 0;
  private cutCount = 0;
  private endStatus: string | undefined;

  constructor(
    private readonly url: string,
    /** Chunks after which the connection is cut, once. */
    private readonly cutAfter: number,
  ) {}

  get chunks(): number {
    return this.nextIndex;
  }

  get cuts(): number {
    return this.cutCount;
  }

  get status(): string | undefined {
    return this.endStatus;
  }

  /** Of every byte read, in order. Call it once, at the end. */
  sha256(): string {
    return this.hash.digest('hex');
  }

  /** Resolves at the end of the stream. @throws Error at a gap or a repeated index: the stream promised neither. */
  async readToEnd(stop: AbortSignal): Promise<void> {
    while (this.endStatus === undefined) {
      stop.throwIfAborted();
      await this.readUntilCut(stop);
    }
  }

  private async readUntilCut(stop: AbortSignal): Promise<void> {
    const cut = new AbortController();
    const headers = { accept: 'text/event-stream', ...(this.lastEventId && { 'last-event-id': this.lastEventId }) };
    try {
      const response = await fetch(this.url, { headers, signal: AbortSignal.any([cut.signal, stop]) });
      if (response.status === 204) throw new Error(`the stream at ${this.url} had ended before its end was read`);
      if (response.status !== 200 || response.body === null)
        throw new Error(`GET ${this.url} answered ${response.status}: ${await response.text()}`);
      const parser = createParser({
        onEvent: (event) => {
          if (!cut.signal.aborted) this.take(event.event, event.data, event.id);
          if (this.cutCount === 0 && this.nextIndex >= this.cutAfter) this.cut(cut);
        },
      });
      const decoder = new TextDecoder();
      if (this.cutAfter === 0 && this.cutCount === 0) this.cut(cut);
      for await (const bytes of response.body) parser.feed(decoder.decode(bytes as Uint8Array, { stream: true }));
    } catch (error) {
      if (!cut.signal.aborted) throw error;
    }
  }

  private cut(connection: AbortController): void {
    this.cutCount++;
    connection.abort();
  }

  private take(type: string | undefined, data: string, id: string | undefined): void {
    if (id !== undefined) this.lastEventId = id;
    if (type === 'end') {
      this.endStatus = (JSON.parse(data) as { status: string }).status;
      return;
    }
    if (type !== 'chunk') return;
    const chunk = JSON.parse(data) as { index: number; text?: string; base64?: string };
    if (chunk.index !== this.nextIndex)
      throw new Error(`chunk ${chunk.index} came where ${this.nextIndex} was due, at ${this.url}`);
    this.nextIndex++;
    this.hash.update(chunk.text === undefined ? Buffer.from(chunk.base64 ?? '', 'base64') : Buffer.from(chunk.text));
  }
}
