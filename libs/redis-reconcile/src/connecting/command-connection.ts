import type { CommandClient, ConnectionSource } from './connection-source.js';
import { whenOverdue } from './patience.js';

/** The instance's connection for commands, and whoever waits for it. */
export class CommandConnection {
  readonly client: CommandClient;
  /** Calls that wait for the connection. */
  private readonly waiting = new Set<() => void>();
  private isEnded = false;

  constructor(readonly source: ConnectionSource) {
    this.client = source.commands();
    // One for all calls: in an outage each would add its own, and Node would warn of a leak.
    this.client.on('ready', () => {
      for (const resume of this.waiting) resume();
    });
  }

  get isClosed(): boolean {
    return this.isEnded;
  }

  /** @throws Error when it is not connected within that time, or is closed. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.client.status === 'ready') return;
    if (this.isEnded) throw new Error('the connection was closed');
    if (this.client.status === 'wait') this.client.connect().catch(() => undefined);
    let resume: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => this.waiting.add((resume = resolve)));
    try {
      await bounded(ready, timeoutMs);
    } finally {
      this.waiting.delete(resume);
    }
  }

  close(): void {
    this.isEnded = true;
    this.source.close();
  }
}

/** @throws Error when it takes longer; what it comes to then is nobody's concern. */
export async function bounded<T>(promise: Promise<T>, restMs: number, timeoutMs = restMs): Promise<T> {
  let cancel: () => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = whenOverdue(restMs, () => reject(new Error(`no answer within ${timeoutMs} ms`)));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
    promise.catch(() => undefined);
  }
}
