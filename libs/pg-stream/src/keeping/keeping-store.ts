import { quoteIdentifier } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';

/** A batch takes a fraction of a second; a shutdown waits for it, also on a dead network path. */
export const SWEEP_TIMEOUT_MS = 10_000;

/** The statements that find, mark and remove. What the functions lock is said there, in `schema/keep-functions.ts`. */
export class KeepingStore {
  private readonly schema: string;

  constructor(
    private readonly database: StreamDatabase,
    schema: string,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /** Names, in the order of their bytes. Locks nothing. */
  async list(group: string): Promise<string[]> {
    const { rows } = await this.database.query<{ name: string }>(
      `SELECT name FROM ${this.schema}.streams WHERE stream_group = $1 AND name IS NOT NULL ORDER BY name`,
      [group],
    );
    return rows.map(({ name }) => name);
  }

  /** The row's number, as text. Locks nothing. */
  async find(stream: string): Promise<string | undefined> {
    const { rows } = await this.database.query<{ id: string }>(
      `SELECT id FROM ${this.schema}.streams WHERE name = $1`,
      [stream],
    );
    return rows[0]?.id;
  }

  /** False: there is no such stream. */
  async trim(stream: string, before: number, waitMs: number): Promise<boolean> {
    const { rows } = await this.database.query<{ is_there: boolean }>(
      `SELECT ${this.schema}.stream_trim($1, $2, $3) AS is_there`,
      [stream, before, waitMs],
    );
    return rows[0]?.is_there === true;
  }

  /** Does nothing when the stream of that number does not have the name any more. */
  async delete(id: string, stream: string, waitMs: number): Promise<void> {
    await this.database.query(`SELECT ${this.schema}.stream_delete($1, $2, $3)`, [id, stream, waitMs]);
  }

  /** A sweep's statement would not have to wait behind others for a connection. */
  get hasFreeConnection(): boolean {
    return this.database.hasFreeConnection;
  }

  /** Of at most `limit` streams whose writer lease had ended by what was known: the names of those that were closed, and `null` for those that were written since. */
  async abortSilent(limit: number, message: string, signal: AbortSignal): Promise<readonly (string | null)[]> {
    const { rows } = await this.database.query<{ name: string | null }>(
      `SELECT name FROM ${this.schema}.stream_abort_silent($1, $2) AS name`,
      [limit, message],
      SWEEP_TIMEOUT_MS,
      signal,
    );
    return rows.map(({ name }) => name);
  }

  /** Streams with chunks that are kept no longer, by number, behind `after`. Locks nothing. */
  async unswept(after: string, limit: number, signal: AbortSignal): Promise<readonly string[]> {
    const { rows } = await this.database.query<{ id: string }>(
      `SELECT id FROM ${this.schema}.streams
       WHERE (deleted_at IS NOT NULL OR swept_index < first_index) AND id > $1 ORDER BY id LIMIT $2`,
      [after, limit],
      SWEEP_TIMEOUT_MS,
      signal,
    );
    return rows.map(({ id }) => id);
  }

  /** How many chunks were removed; fewer than `limit`: none is left for us. */
  async sweep(id: string, limit: number, signal: AbortSignal): Promise<number> {
    const { rows } = await this.database.query<{ removed: number }>(
      `SELECT ${this.schema}.stream_sweep($1, $2) AS removed`,
      [id, limit],
      SWEEP_TIMEOUT_MS,
      signal,
    );
    return rows[0]?.removed ?? 0;
  }
}
