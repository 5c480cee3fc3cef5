import { type FloorOptions, postLines } from './post-lines.js';

const ROOM: Promise<void> = Promise.resolve();

/**
 * The least code that gets documents to the server at all: text, a request when there is enough of it, a bound on requests at a time. The
 * first failure ends everything. Written before anything was tuned.
 */
export class HandWrittenLoop {
  private text = '';
  private readonly server;
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly options: FloorOptions) {
    this.server = postLines(options);
  }

  add(doc: unknown): Promise<void> {
    this.text += `${JSON.stringify(doc)}\n`;
    return this.text.length < this.options.maxBatchBytes ? ROOM : this.send();
  }

  async flush(): Promise<void> {
    if (this.text.length > 0) await this.send();
    await Promise.all(this.running);
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  private send(): Promise<void> {
    const { text, running } = this;
    this.text = '';
    const request = this.server.post(text).then(() => void running.delete(request));
    running.add(request);
    return running.size < this.options.concurrency ? ROOM : Promise.race(running);
  }
}
