import { type FloorOptions, postLines } from './post-lines.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** As the hand-written loop, with a promise for each document that says when the server has it. Callers bound how many are under way. */
export class PromisePerDocument {
  private text = '';
  private waiters: Waiter[] = [];
  private readonly server;
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly options: FloorOptions) {
    this.server = postLines(options);
  }

  add(doc: unknown): Promise<void> {
    this.text += `${JSON.stringify(doc)}\n`;
    const answered = new Promise<void>((resolve, reject) => this.waiters.push({ resolve, reject }));
    if (this.text.length >= this.options.maxBatchBytes) this.send();
    return answered;
  }

  async flush(): Promise<void> {
    if (this.text.length > 0) this.send();
    await Promise.all(this.running);
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  private send(): void {
    const { text, waiters, running } = this;
    this.text = '';
    this.waiters = [];
    const request = this.server
      .post(text)
      .then(
        () => waiters.forEach(({ resolve }) => resolve()),
        (error: unknown) => waiters.forEach(({ reject }) => reject(error)),
      )
      .finally(() => running.delete(request));
    running.add(request);
  }
}
