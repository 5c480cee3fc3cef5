import { type Backoff, backoffDelay } from '../backoff.js';
import { type Random, systemRandom } from '../clock.js';
import { quoteIdentifier } from './queryable.js';

/** The part of a `pg` client that a listener uses. Set `keepAlive` and `connectionTimeoutMillis` where it is made. */
export interface ListenClient {
  connect(): Promise<unknown>;
  query(text: string): Promise<unknown>;
  end(): Promise<void>;
  on(event: 'error' | 'end' | 'notification', listener: (value: never) => void): unknown;
}

export interface SelfHealingListenerOptions {
  /** A fresh client, not connected; a client is used once. */
  readonly createClient: () => ListenClient;
  readonly channel: string;
  /** One notification on the channel. Must not throw. */
  readonly onNotification: (payload: string) => void;
  /** LISTEN is active, at the start and after each loss: everything since may have been missed, so look now. */
  readonly onListening: () => void;
  /** The connection is gone or could not be made; another attempt follows by itself. */
  readonly onLost: (error: unknown) => void;
  readonly backoff?: Backoff;
  readonly random?: Random;
}

/** `listening`: notifications arrive. `connecting`: none do, an attempt runs or waits. `stopped`: none ever will. */
export type ListenerState = 'new' | 'connecting' | 'listening' | 'stopped';

/** 250 ms doubling to 30 s: quick enough for a restart of the server, slow enough for a long outage. */
const DEFAULT_BACKOFF: Backoff = { baseMs: 250, factor: 2, capMs: 30_000, jitter: 'equal' };

/** A client on a dead network path never answers its end(): after this its socket is destroyed. */
const END_TIMEOUT_MS = 1_000;

/**
 * One connection that LISTENs and comes back by itself, for ever.
 *
 * - Error handlers are attached before connecting, so a dropped connection never ends the process.
 * - One loss starts one attempt, although `pg` tells of it up to three times (`error`, `error`, `end`).
 * - `stop()` is bounded in time and leaves no client, timer or LISTEN behind, whenever it is called.
 */
export class SelfHealingListener {
  private current: ListenerState = 'new';
  private client: ListenClient | undefined;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;

  constructor(private readonly options: SelfHealingListenerOptions) {}

  get state(): ListenerState {
    return this.current;
  }

  /** Resolves when LISTEN is active. Rejects when the first attempt fails; attempts go on all the same until `stop()`. */
  async start(): Promise<void> {
    if (this.current !== 'new') return;
    this.current = 'connecting';
    await this.attempt();
  }

  async stop(): Promise<void> {
    this.current = 'stopped';
    clearTimeout(this.retry);
    const client = this.client;
    this.client = undefined;
    if (client !== undefined) await endWithin(client, END_TIMEOUT_MS);
  }

  private async attempt(): Promise<void> {
    const client = this.options.createClient();
    this.client = client;
    client.on('error', (error: unknown) => this.lose(client, error));
    client.on('end', () => this.lose(client, new Error('the LISTEN connection was closed')));
    client.on('notification', ({ channel, payload }: { channel: string; payload?: string }) => {
      if (this.client === client && channel === this.options.channel) this.options.onNotification(payload ?? '');
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${quoteIdentifier(this.options.channel)}`);
    } catch (error) {
      this.lose(client, error);
      throw error;
    }
    if (this.client !== client) return void (await endWithin(client, END_TIMEOUT_MS));
    this.current = 'listening';
    this.failures = 0;
    this.options.onListening();
  }

  private lose(client: ListenClient, error: unknown): void {
    if (this.client !== client) return;
    this.client = undefined;
    void endWithin(client, END_TIMEOUT_MS);
    this.current = 'connecting';
    this.failures++;
    const { backoff = DEFAULT_BACKOFF, random = systemRandom, onLost } = this.options;
    this.retry = setTimeout(
      () => void this.attempt().catch(() => undefined), // lose() has told and has scheduled the next attempt
      backoffDelay(this.failures, backoff, random),
    );
    onLost(error);
  }
}

async function endWithin(client: ListenClient, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      (client as { connection?: { stream?: { destroy?: () => void } } }).connection?.stream?.destroy?.();
      resolve();
    }, timeoutMs);
  });
  await Promise.race([client.end().catch(() => undefined), timedOut]);
  clearTimeout(timer);
}
