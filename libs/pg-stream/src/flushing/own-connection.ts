import { type Queryable, type QueryOutcome, ShuttingDownError } from '@nest-baton/core';
import { leavesOutcomeOpen, LostConnection } from '../connecting/lost-connection.js';
import type { PgClientOfOurs } from '../connecting/pg-pool.js';
import { PreparedStatements } from '../connecting/prepared-statements.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';

/**
 * One connection outside every pool, made when it is first needed and made anew after a loss.
 *
 * - A statement whose answer did not come rejects with `LostConnection`, which says whether it had left; after `timeoutMs` its socket is destroyed.
 * - An idle connection keeps no process alive, and after `idleMs` it is ended.
 */
export class OwnConnection implements Queryable {
  /** Those whose sockets may be open. */
  private readonly known = new Set<PgClientOfOurs>();
  private client: Promise<PgClientOfOurs> | undefined;
  private idleTimer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private readonly statements = new PreparedStatements();

  constructor(
    private readonly options: {
      readonly createClient: () => PgClientOfOurs;
      readonly timeoutMs: number;
      readonly idleMs?: number;
      readonly metrics: PgStreamMetrics;
    },
  ) {}

  /** One at a time: whoever shares a connection waits for its answers himself. */
  async query<Row>(text: string, values: readonly unknown[] = []): Promise<QueryOutcome<Row>> {
    clearTimeout(this.idleTimer);
    const client = await this.connected();
    client.ref?.();
    try {
      const query = { text, values: [...values], query_timeout: this.options.timeoutMs };
      return outcomeOf(await this.statements.query(client, query));
    } catch (error) {
      if (!leavesOutcomeOpen(error)) throw error;
      this.forget(client);
      this.options.metrics.add('connections.lost', 1, 'in_use');
      throw new LostConnection(true, error);
    } finally {
      client.unref?.();
      this.endWhenIdle();
    }
  }

  /** Ends it; a statement under way rejects as lost. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.idleTimer);
    this.end();
  }

  private async connected(): Promise<PgClientOfOurs> {
    if (this.isClosed)
      throw new ShuttingDownError('PgStreamModule has shut down; the call did nothing and can be made elsewhere.');
    this.client ??= this.connect();
    const attempt = this.client;
    try {
      return await attempt;
    } catch (error) {
      if (this.client === attempt) this.client = undefined;
      this.options.metrics.add('connections.lost', 1, 'connecting');
      throw new LostConnection(false, error);
    }
  }

  private async connect(): Promise<PgClientOfOurs> {
    const client = this.options.createClient();
    // Lost while idle: the next statement makes another one. Attached before connect, and for good: pg may emit more than one.
    client.on('error', () => this.forget(client));
    client.on('end', () => this.forget(client));
    this.known.add(client);
    try {
      await client.connect();
    } catch (error) {
      this.forget(client);
      throw error;
    }
    return client;
  }

  /** `end()` of a connection that answers nothing never resolves. */
  private forget(client: PgClientOfOurs): void {
    if (!this.known.delete(client)) return;
    this.client = undefined;
    client.connection?.stream?.destroy?.();
  }

  private endWhenIdle(): void {
    const { idleMs } = this.options;
    if (idleMs === undefined || this.isClosed) return;
    this.idleTimer = setTimeout(() => this.end(), idleMs).unref();
  }

  private end(): void {
    for (const client of this.known) {
      void client.end().catch(() => undefined);
      this.forget(client);
    }
  }
}

function outcomeOf<Row>({ rows, rowCount }: { rows: unknown[]; rowCount?: number | null }): QueryOutcome<Row> {
  return { rows: rows as Row[], rowCount: rowCount ?? rows.length };
}
