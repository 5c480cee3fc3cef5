import { type Backoff, backoffDelay } from '../backoff.js';
import { type Random, systemRandom } from '../clock.js';
import { OptionsInvalidError } from '../errors.js';
import { guardedCall } from '../guarded-call.js';
import { EchoProbe, type EchoProbeOptions, isEcho } from './echo-probe.js';
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
  /** 1 to 63 bytes: Postgres would LISTEN to the first 63 of a longer one and never hear anything. */
  readonly channel: string;
  /** One notification on the channel. What it throws becomes a process warning. */
  readonly onNotification: (payload: string) => void;
  /** LISTEN is active, at the start and after each loss: everything since may have been missed, so look now. */
  readonly onListening: () => void;
  /** The connection is gone or could not be made; another attempt follows by itself. */
  readonly onLost: (error: unknown) => void;
  readonly backoff?: Backoff;
  /**
   * Milliseconds for one attempt, from connecting until LISTEN is answered: a dead network path answers neither. Default 10 000; too short
   * and a loaded server is never reached, too long and an outage outlives its cause.
   */
  readonly attemptTimeoutMs?: number;
  /**
   * Proves that notifications arrive: with it a connection counts as listening from its first echo on, and is given up when echoes are missed. Without
   * it a path that swallows everything, or a transaction pooler, is taken for a working one.
   */
  readonly echo?: EchoProbeOptions;
  readonly random?: Random;
}

/** `listening`: notifications arrive, which only an echo proves. `connecting`: none do, an attempt runs or waits. `stopped`: none ever will. */
export type ListenerState = 'new' | 'connecting' | 'listening' | 'stopped';

/** 250 ms doubling to 30 s: quick enough for a restart of the server, slow enough for a long outage. */
const DEFAULT_BACKOFF: Backoff = { baseMs: 250, factor: 2, capMs: 30_000, jitter: 'equal' };

const DEFAULT_ATTEMPT_TIMEOUT_MS = 10_000;

/** A client on a dead network path never answers its end(): after this its socket is destroyed. */
const END_TIMEOUT_MS = 1_000;

/** After so many connections, one behind another, that LISTENed and heard nothing, it is not the path but what stands on it. */
const MAX_DEAF_CONNECTIONS = 3;
const DEAF_RETRY_MS = 30_000;

const MAX_CHANNEL_BYTES = 63;

/** How an attempt that waits for a client learns that nobody waits for this client any more. */
interface Attempt {
  readonly lost: (error: unknown) => void;
  readonly stopped: () => void;
}

/**
 * One connection that LISTENs and comes back by itself, for ever.
 *
 * - Error handlers are attached before connecting, so a dropped connection never ends the process.
 * - One loss starts one attempt, although `pg` tells of it up to three times (`error`, `error`, `end`).
 * - An attempt is bounded in time, so a path that swallows bytes is given up and tried again.
 * - With `echo`, a connection that hears nothing is given up like one that is lost; after three fresh ones without an echo the next follow every 30 s.
 * - `stop()` is bounded in time and leaves no client, timer or LISTEN behind, whenever it is called.
 */
export class SelfHealingListener {
  private current: ListenerState = 'new';
  private client: ListenClient | undefined;
  private attempt: Attempt | undefined;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;
  private probe: EchoProbe | undefined;
  private deafConnections = 0;
  private started: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;
  private readonly leaving = new Set<Promise<void>>();

  /** @throws OptionsInvalidError when the channel is empty or longer than Postgres keeps. */
  constructor(private readonly options: SelfHealingListenerOptions) {
    const bytes = Buffer.byteLength(options.channel);
    if (bytes < 1 || bytes > MAX_CHANNEL_BYTES)
      throw new OptionsInvalidError('SelfHealingListener', [
        `channel must have 1 to ${MAX_CHANNEL_BYTES} bytes, not ${bytes}: '${options.channel}'`,
      ]);
  }

  get state(): ListenerState {
    return this.current;
  }

  /** Notifications arrive, and the last nonce of the echo, if there is one, could be sent: nothing speaks against it. */
  get isProven(): boolean {
    return this.current === 'listening' && this.probe?.sendFailure === undefined;
  }

  /** The last connection LISTENed and heard nothing, as behind a transaction pooler, and none has heard anything since. */
  get isDeaf(): boolean {
    return this.deafConnections > 0;
  }

  /**
   * Resolves when LISTEN is active, with `echo` when it was heard, or when `stop()` came first. Rejects when the first attempt fails; attempts go on all the same until
   * `stop()`.
   */
  start(): Promise<void> {
    if (this.current === 'new') {
      this.current = 'connecting';
      this.started = this.connect();
    }
    return this.started ?? Promise.resolve();
  }

  stop(): Promise<void> {
    return (this.stopping ??= this.leaveForGood());
  }

  private async leaveForGood(): Promise<void> {
    this.current = 'stopped';
    clearTimeout(this.retry);
    const client = this.client;
    this.client = undefined;
    this.probe?.stop();
    // `pg` never settles the connect() of a client that is ended meanwhile.
    this.attempt?.stopped();
    if (client !== undefined) this.leave(client);
    await Promise.all(this.leaving);
  }

  private async connect(): Promise<void> {
    const client = this.create();
    this.client = client;
    const probe = (this.probe = this.probeOf(client));
    client.on('error', (error: unknown) => this.lose(client, error));
    // A turn later: `pg` emits 'end' before the promise of connect() or query() can tell the reason.
    client.on('end', () => void setImmediate(() => this.lose(client, new Error('the LISTEN connection was closed'))));
    client.on('notification', ({ channel, payload }: { channel: string; payload?: string }) => {
      if (this.client !== client || channel !== this.options.channel) return;
      if (probe !== undefined && isEcho(payload ?? '')) probe.hear(payload ?? '');
      else guardedCall('onNotification of a listener', () => this.options.onNotification(payload ?? ''));
    });
    try {
      await this.settled(this.listen(client, probe));
    } catch (error) {
      this.lose(client, error);
      throw error;
    }
    if (this.client !== client) return;
    this.current = 'listening';
    this.failures = 0;
    this.deafConnections = 0;
    guardedCall('onListening of a listener', this.options.onListening);
  }

  private create(): ListenClient {
    try {
      return this.options.createClient();
    } catch (error) {
      this.tryLater(error);
      throw error;
    }
  }

  private probeOf(client: ListenClient): EchoProbe | undefined {
    const { echo, random } = this.options;
    if (echo === undefined) return undefined;
    const onDeaf = (error: Error): void => {
      if (this.current !== 'listening') this.deafConnections++;
      this.lose(client, error);
    };
    return new EchoProbe({ options: echo, onDeaf, ...(random !== undefined && { random }) });
  }

  private async listen(client: ListenClient, probe: EchoProbe | undefined): Promise<void> {
    await client.connect();
    // A client that connects after stop(), or after its attempt was given up, has been told to end before it could.
    if (this.client !== client) return this.leave(client);
    await client.query(`LISTEN ${quoteIdentifier(this.options.channel)}`);
    if (this.client === client) await probe?.start();
  }

  /** Settles with `listening`, or earlier: on a loss, on stop(), or when the attempt's time is over. */
  private async settled(listening: Promise<void>): Promise<void> {
    const { attemptTimeoutMs = DEFAULT_ATTEMPT_TIMEOUT_MS } = this.options;
    let timer: NodeJS.Timeout | undefined;
    let attempt: Attempt | undefined;
    const interrupted = new Promise<void>((resolve, reject) => {
      attempt = this.attempt = { lost: reject, stopped: resolve };
      timer = setTimeout(
        () =>
          reject(new Error(`LISTEN was not active within ${attemptTimeoutMs} ms`, { cause: this.probe?.sendFailure })),
        attemptTimeoutMs,
      );
    });
    try {
      await Promise.race([listening, interrupted]);
    } finally {
      clearTimeout(timer);
      if (this.attempt === attempt) this.attempt = undefined;
    }
  }

  private lose(client: ListenClient, error: unknown): void {
    if (this.client !== client) return;
    this.client = undefined;
    this.probe?.stop();
    this.leave(client);
    this.attempt?.lost(error);
    this.tryLater(error);
  }

  private tryLater(error: unknown): void {
    this.current = 'connecting';
    this.failures++;
    const { backoff = DEFAULT_BACKOFF, random = systemRandom, onLost } = this.options;
    this.retry = setTimeout(
      () => void this.connect().catch(() => undefined), // lose() has told and has scheduled the next attempt
      this.deafConnections < MAX_DEAF_CONNECTIONS ? backoffDelay(this.failures, backoff, random) : DEAF_RETRY_MS,
    );
    guardedCall('onLost of a listener', () => onLost(error));
  }

  private leave(client: ListenClient): void {
    const left = endWithin(client, END_TIMEOUT_MS).then(() => void this.leaving.delete(left));
    this.leaving.add(left);
  }
}

/** Never rejects: nothing is left to do about a client that cannot even be ended. */
async function endWithin(client: ListenClient, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      (client as { connection?: { stream?: { destroy?: () => void } } }).connection?.stream?.destroy?.();
      resolve();
    }, timeoutMs);
  });
  const ended = async (): Promise<void> => client.end();
  await Promise.race([ended().catch(() => undefined), timedOut]);
  clearTimeout(timer);
}
