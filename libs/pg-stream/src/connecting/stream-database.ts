import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  describeError,
  type ListenClient,
  type Queryable,
  type QueryOutcome,
  ShuttingDownError,
  surviveLostConnections,
} from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import pg from 'pg';
import { PreparedStatements } from './prepared-statements.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import { leavesOutcomeOpen, LostConnection } from './lost-connection.js';
import type { PgClientOfOurs, PgPoolClientLike, PgPoolLike } from './pg-pool.js';

/** A dead network path answers nothing; a row's lock may be held for long. After this the connection is given up, and the outcome is open. */
const QUERY_TIMEOUT_MS = 30_000;

/** For a new connection, and for a free one of a pool: the user's may be exhausted by callers who wait for us, and by default it waits for ever. */
const CONNECT_TIMEOUT_MS = 5_000;

/** How long shutdown waits for statements under way before it closes their connections. */
const CLOSE_TIMEOUT_MS = 5_000;

type ConnectionOptions = Pick<
  ResolvedPgStreamOptions,
  'connectionString' | 'pool' | 'listenConnectionString' | 'poolSize'
>;

/**
 * The connections to Postgres: a pool of our own, or the user's, which is never ended here.
 *
 * - A statement whose answer did not come rejects with `LostConnection`, which says whether it had left; its connection is closed.
 * - An ERROR of the server rejects as the driver gave it: the statement did nothing.
 * - After `close()` every statement rejects with SHUTTING_DOWN.
 */
export class StreamDatabase implements Queryable {
  private readonly logger = new Logger('PgStream');
  private readonly pool: PgPoolLike;
  private readonly ownPool: pg.Pool | undefined;
  private readonly busy = new Set<PgPoolClientLike>();
  private readonly closed = new AbortController();
  private readonly statements = new PreparedStatements();
  private closing: Promise<void> | undefined;
  private becameIdle = (): void => undefined;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly metrics: PgStreamMetrics,
  ) {
    if (options.pool === undefined) this.ownPool = this.createPool();
    this.pool = options.pool ?? (this.ownPool as PgPoolLike);
    // As many listen as calls wait, each until it has what it waits for.
    setMaxListeners(0, this.closed.signal);
    surviveLostConnections(this.pool);
  }

  /** Aborts when no statement is taken any more. */
  get whenClosed(): AbortSignal {
    return this.closed.signal;
  }

  /** @param signal ends the wait for a connection, as if it had been lost; a statement that was sent is waited for. */
  query<Row>(
    text: string,
    values: readonly unknown[] = [],
    timeoutMs = QUERY_TIMEOUT_MS,
    signal?: AbortSignal,
  ): Promise<QueryOutcome<Row>> {
    return this.withClient((client) => send<Row>(client, text, values, timeoutMs), signal);
  }

  /** For a statement that is sent again and again, always with the same text. */
  queryPrepared<Row>(text: string, values: readonly unknown[]): Promise<QueryOutcome<Row>> {
    return this.withClient((client) =>
      send<Row>({ query: (query) => this.statements.query(client, query) }, text, values),
    );
  }

  /** Whether the pool has a connection for whoever asks now; true of one that does not tell. */
  get hasFreeConnection(): boolean {
    const { idleCount, totalCount, waitingCount, options } = this.pool;
    if (idleCount === undefined || totalCount === undefined || waitingCount === undefined) return true;
    const { max } = (options ?? {}) as { readonly max?: number };
    return waitingCount === 0 && (idleCount > 0 || max === undefined || totalCount < max);
  }

  /** One connection for several statements, for session locks and transactions. */
  session<T>(use: (session: Queryable) => Promise<T>): Promise<T> {
    return this.withClient((client) =>
      use({ query: <Row>(text: string, values: readonly unknown[] = []) => send<Row>(client, text, values) }),
    );
  }

  /** Outside the pool: it lives as long as the process, and poolers break LISTEN. */
  createListenClient(): ListenClient {
    const { listenConnectionString, connectionString } = this.options;
    const url = listenConnectionString ?? connectionString;
    const where = url === undefined ? optionsOf(this.pool) : { connectionString: url };
    return new pg.Client({
      ...where,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      fallback_application_name: 'baton:pg-stream:listen',
    });
  }

  /** Not with a pool that does not show its options, which then lends its own connections. */
  get canCreateClients(): boolean {
    return this.options.connectionString !== undefined || this.pool.options !== undefined;
  }

  /** Outside the pool, for writing, or for what `purpose` says. */
  createWriteClient(purpose = 'write'): PgClientOfOurs {
    const { connectionString } = this.options;
    return new pg.Client({
      ...(connectionString === undefined ? optionsOf(this.pool) : { connectionString }),
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      fallback_application_name: `baton:pg-stream:${purpose}`,
    });
  }

  /** Returns when no statement is under way and our own pool has no connection left, also when the server answers nothing any more. */
  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }

  private async closeOnce(): Promise<void> {
    this.closed.abort();
    const ended = this.ownPool?.end() ?? this.whenIdle();
    const giveUp = new AbortController();
    const timedOut = sleep(CLOSE_TIMEOUT_MS, undefined, { signal: giveUp.signal }).then(
      () => this.destroyBusy(),
      () => undefined,
    );
    await Promise.race([ended.catch(() => undefined), timedOut]);
    giveUp.abort();
  }

  private async whenIdle(): Promise<void> {
    if (this.busy.size > 0) await new Promise<void>((resolve) => (this.becameIdle = resolve));
  }

  private destroyBusy(): void {
    for (const client of this.busy)
      (client as { connection?: { stream?: { destroy?: () => void } } }).connection?.stream?.destroy?.();
  }

  private async withClient<T>(use: (client: PgPoolClientLike) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const client = await this.connect(signal);
    this.busy.add(client);
    let broken: LostConnection | undefined;
    // For a pool that only looks like one, and tells nobody what it hands out.
    const emitter = client as unknown as { on?: typeof pg.Client.prototype.on; off?: typeof pg.Client.prototype.off };
    const ignore = (): void => undefined;
    emitter.on?.('error', ignore);
    try {
      return await use(client);
    } catch (error) {
      if (error instanceof LostConnection) {
        broken = error;
        this.metrics.add('connections.lost', 1, 'in_use');
      }
      throw error;
    } finally {
      this.busy.delete(client);
      emitter.off?.('error', ignore);
      client.release(broken);
      if (this.busy.size === 0) this.becameIdle();
    }
  }

  private async connect(signal: AbortSignal | undefined): Promise<PgPoolClientLike> {
    this.throwIfClosed();
    try {
      return await this.connectInTime(signal);
    } catch (error) {
      this.throwIfClosed();
      if (signal?.aborted === true) throw new LostConnection(false, signal.reason);
      this.metrics.add('connections.lost', 1, 'connecting');
      throw new LostConnection(false, error);
    }
  }

  /** Rejects after 5 s, and at once when this is closed or `signal` aborts. A client that comes after that goes back to its pool. */
  private connectInTime(signal: AbortSignal | undefined): Promise<PgPoolClientLike> {
    // Each statement comes through here, so it has no controller and no race of promises, which cost more than a short statement.
    return new Promise((resolve, reject) => {
      const connecting = this.pool.connect();
      let isSettled = false;
      const settle = (): void => {
        isSettled = true;
        clearTimeout(timer);
        this.closed.signal.removeEventListener('abort', refuse);
        signal?.removeEventListener('abort', refuse);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      const refuse = (): void => fail(new Error(`no connection was free for ${CONNECT_TIMEOUT_MS} ms`));
      const timer = setTimeout(refuse, CONNECT_TIMEOUT_MS);
      this.closed.signal.addEventListener('abort', refuse);
      signal?.addEventListener('abort', refuse);
      connecting.then((client) => {
        if (isSettled) return client.release();
        settle();
        resolve(client);
      }, fail);
      if (signal?.aborted === true) refuse();
    });
  }

  private throwIfClosed(): void {
    if (this.closed.signal.aborted)
      throw new ShuttingDownError('PgStreamModule has shut down; the call did nothing and can be made elsewhere.');
  }

  private createPool(): pg.Pool {
    const pool = new pg.Pool({
      connectionString: this.options.connectionString,
      max: this.options.poolSize,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // A pool of idle connections does not keep a process alive that has nothing else to do.
      allowExitOnIdle: true,
      fallback_application_name: 'baton:pg-stream',
    });
    pool.on('error', (error) =>
      this.logger.debug('an idle connection was lost; the next statement makes another', {
        error: describeError(error),
      }),
    );
    return pool;
  }
}

async function send<Row>(
  client: Pick<PgPoolClientLike, 'query'>,
  text: string,
  values: readonly unknown[],
  timeoutMs = QUERY_TIMEOUT_MS,
): Promise<QueryOutcome<Row>> {
  try {
    const { rows, rowCount } = await client.query({ text, values: [...values], query_timeout: timeoutMs });
    return { rows: rows as Row[], rowCount: rowCount ?? rows.length };
  } catch (error) {
    throw leavesOutcomeOpen(error) ? new LostConnection(true, error) : error;
  }
}

/** What a client needs of a pool's options. `password` is not enumerable there. */
function optionsOf(pool: PgPoolLike): object {
  const options = (pool.options ?? {}) as { readonly password?: unknown };
  return { ...options, password: options.password };
}
