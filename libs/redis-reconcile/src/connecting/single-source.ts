import { Redis, type RedisOptions } from 'ioredis';
import { type ConnectionSource, reconnectDelay, settingsOfAll, settingsOfDedicated } from './connection-source.js';
import { withPatience } from './patience.js';

/** Connections to one node. */
export class SingleSource implements ConnectionSource {
  readonly topology = 'single';
  readonly setting = 'connection.url (BATON_REDIS_URL or BATON_REDIS_RECONCILE_URL)';
  readonly lastProblem = undefined;
  private client: Redis | undefined;

  constructor(
    private readonly connection: { readonly url: string } | { readonly instance: Redis },
    private readonly commandTimeoutMs: number,
  ) {}

  commands(): Redis {
    const timeoutMs = this.commandTimeoutMs;
    const settings = { ...settingsOfAll(timeoutMs), retryStrategy: reconnectDelay };
    return (this.client ??= withPatience(this.create(settings), timeoutMs));
  }

  commandsOf(): Redis {
    return this.commands();
  }

  dedicated(): Promise<Redis> {
    return Promise.resolve(this.create(settingsOfDedicated(this.commandTimeoutMs)));
  }

  beside(): Redis {
    return this.commands();
  }

  suspect(): void {
    // There is nobody else to ask.
  }

  close(): void {
    this.client?.disconnect();
  }

  get address(): string {
    const options = this.options();
    return options.path ?? `${options.host ?? '127.0.0.1'}:${options.port ?? 6379}`;
  }

  get database(): number {
    return this.options().db ?? 0;
  }

  private create(settings: RedisOptions): Redis {
    const redis =
      'url' in this.connection
        ? new Redis(this.connection.url, settings)
        : this.connection.instance.duplicate({ commandTimeout: undefined, socketTimeout: undefined, ...settings });
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
