import { Redis, type RedisOptions } from 'ioredis';

/** Where connections come from: a URL, or a client of the user's that is only ever duplicated and never closed. */
export type RedisConnectionOptions = { readonly url: string } | { readonly instance: Redis };

/** A dead node must not keep the process for the two seconds that are ioredis' default. */
const DISCONNECT_TIMEOUT_MS = 100;

/**
 * Makes the connections of one instance, none of them connected yet.
 *
 * - No command is ever resent after a reconnect, none waits in a queue of the driver's: whoever sends one learns its fate in bounded time.
 */
export class ConnectionSource {
  constructor(
    private readonly connection: RedisConnectionOptions,
    private readonly commandTimeoutMs: number,
  ) {}

  /** Reconnects by itself. */
  commands(): Redis {
    return this.create({
      commandTimeout: this.commandTimeoutMs,
      // A server that keeps the connection open and answers nothing: drop it, so that the next command tries a new one.
      socketTimeout: this.commandTimeoutMs * 3,
      retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times - 1, 5), 1000),
    });
  }

  /** Lives once: after a failure its owner makes a new one. No command timeout: a blocking read takes as long as it was told to. */
  dedicated(): Redis {
    return this.create({ retryStrategy: () => null });
  }

  /** Host and port without credentials, for messages. */
  get address(): string {
    const options = this.options();
    return options.path ?? `${options.host ?? '127.0.0.1'}:${options.port ?? 6379}`;
  }

  /** The database that keys live in: part of the names of keyspace channels. */
  get database(): number {
    return this.options().db ?? 0;
  }

  private create(overrides: RedisOptions): Redis {
    const settings: RedisOptions = {
      lazyConnect: true,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      connectTimeout: this.commandTimeoutMs,
      disconnectTimeout: DISCONNECT_TIMEOUT_MS,
      keepAlive: 30_000,
      ...overrides,
    };
    const redis =
      'url' in this.connection
        ? new Redis(this.connection.url, settings)
        : this.connection.instance.duplicate({ commandTimeout: undefined, ...settings });
    // Each failure also rejects a command or ends the connection, where it is handled; without a listener ioredis would print it.
    redis.on('error', () => undefined);
    return redis;
  }

  private options(): RedisOptions {
    if ('instance' in this.connection) return this.connection.instance.options;
    const url = new URL(this.connection.url);
    const database = Number(url.pathname.slice(1) || url.searchParams.get('db') || 0);
    return { host: url.hostname, port: Number(url.port || 6379), db: Number.isInteger(database) ? database : 0 };
  }
}
