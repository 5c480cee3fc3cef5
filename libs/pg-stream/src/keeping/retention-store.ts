import { quoteIdentifier } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { SWEEP_TIMEOUT_MS } from './keeping-store.js';

/** What is kept of each stream. */
export interface RetentionLimits {
  readonly maxAgeMs: number | undefined;
  readonly maxBytes: number | undefined;
}

/** What one look at some streams came to. */
export interface RetentionLook {
  /** Where the next look goes on; `undefined` when there are no more streams. */
  readonly lastId: string | undefined;
  readonly looked: number;
  readonly trimmed: number;
}

interface LookRow {
  readonly last_id: string | null;
  readonly looked: number;
  readonly trimmed: number;
}

/** The statements that mark what is too old or too much. What the functions lock is said there, in `schema/retain-functions.ts`. */
export class RetentionStore {
  private readonly schema: string;

  constructor(
    private readonly database: StreamDatabase,
    schema: string,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /** The names that were taken from at most `limit` streams which were closed that long ago. */
  async expire(limit: number, closedForMs: number, signal: AbortSignal): Promise<readonly string[]> {
    const { rows } = await this.database.query<{ name: string }>(
      `SELECT name FROM ${this.schema}.stream_expire($1, $2) AS name`,
      [limit, closedForMs],
      SWEEP_TIMEOUT_MS,
      signal,
    );
    return rows.map(({ name }) => name);
  }

  /** The next `limit` streams behind `after`, without those that somebody holds. */
  async retain(
    after: string,
    limit: number,
    { maxAgeMs, maxBytes }: RetentionLimits,
    signal: AbortSignal,
  ): Promise<RetentionLook> {
    const { rows } = await this.database.query<LookRow>(
      `SELECT last_id, looked, trimmed FROM ${this.schema}.stream_retain($1, $2, $3, $4)`,
      [after, limit, maxAgeMs ?? null, maxBytes ?? null],
      SWEEP_TIMEOUT_MS,
      signal,
    );
    const [row] = rows;
    return {
      lastId: row?.last_id ?? undefined,
      looked: row?.looked ?? 0,
      trimmed: row?.trimmed ?? 0,
    };
  }
}
