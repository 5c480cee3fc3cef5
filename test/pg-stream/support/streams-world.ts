import { type PgStreamOptions, PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { freshDatabase, hintsUnderTest } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import pg from 'pg';

/** One database of our own, and services on it as a module would make them. */
export class StreamsWorld {
  private readonly services: PgStreamService[] = [];
  private readonly clients: pg.Client[] = [];

  private constructor(
    readonly url: string,
    private readonly drop: () => Promise<void>,
  ) {}

  static async create(): Promise<StreamsWorld> {
    Logger.overrideLogger(false);
    const { url, drop } = await freshDatabase();
    return new StreamsWorld(url, drop);
  }

  async service(options: PgStreamOptions = {}, name = 'default'): Promise<PgStreamService> {
    const where = options.pool === undefined ? { connectionString: this.url } : {};
    const service = new PgStreamService(
      name,
      resolvePgStreamOptions({ ...where, hints: hintsUnderTest(), ...options }),
    );
    this.services.push(service);
    await service.onModuleInit();
    return service;
  }

  async client(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    this.clients.push(client);
    await client.connect();
    return client;
  }

  /** A pool, and how many statements its connections were given. */
  countingPool(): { readonly pool: pg.Pool; readonly statements: () => number } {
    let count = 0;
    const pool = new pg.Pool({ connectionString: this.url });
    pool.on('error', () => undefined);
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...values: unknown[]) => unknown;
      client.query = ((...values: unknown[]) => {
        count++;
        return query(...values);
      }) as typeof client.query;
    });
    return { pool, statements: () => count };
  }

  async sql<Row extends object = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = this.clients[0] ?? (await this.client());
    return (await client.query<Row>(text, values)).rows;
  }

  /** Ends what is connected to this database and whose last statement matches, and waits for such a thing; returns how many. */
  async terminate(pattern: string, waitingFor?: 'Lock'): Promise<number> {
    const rows = await this.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ $1
         AND ($2::text IS NULL OR wait_event_type = $2)`,
      [pattern, waitingFor ?? null],
    );
    return rows.length;
  }

  async count(pattern: string): Promise<number> {
    const rows = await this.sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ $1`,
      [pattern],
    );
    return rows.length;
  }

  /** How many connections to this database wait for a lock. */
  async waitingForLock(): Promise<number> {
    const rows = await this.sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rows.length;
  }

  async stop(): Promise<void> {
    for (const service of this.services) {
      await service.beforeApplicationShutdown();
      await service.onApplicationShutdown();
    }
    for (const client of this.clients) await client.end().catch(() => undefined);
    await this.drop();
  }
}

export async function take(chunks: AsyncIterator<{ data: Uint8Array }>, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    texts.push(Buffer.from(value.data).toString());
  }
  return texts;
}

export async function textsOf(chunks: AsyncIterable<{ data: Uint8Array }>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { data } of chunks) texts.push(Buffer.from(data).toString());
  return texts;
}
