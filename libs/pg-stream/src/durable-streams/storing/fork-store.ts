import { type Queryable, quoteIdentifier } from '@nest-baton/core';

/** The statements that copy a stream into a fork, and that take streams away with their forks. Run them under the source's lock. */
export class ForkStore {
  private readonly schema: string;

  constructor(schema: string) {
    this.schema = quoteIdentifier(schema);
  }

  /** Bytes of one chunk; `undefined` when it is not there. */
  async chunkBytes(transaction: Queryable, streamId: number, index: number): Promise<number | undefined> {
    const { rows } = await transaction.query<{ bytes: number }>(
      `SELECT octet_length(data) AS bytes FROM ${this.schema}.stream_chunks WHERE stream_id = $1 AND index = $2`,
      [streamId, index],
    );
    return rows[0]?.bytes;
  }

  /**
   * Gives an empty stream the chunks of another up to `position`, at the same positions, without who wrote them; of the chunk there, the first
   * `subBytes`. Where the source keeps none of them, an empty chunk that is not read holds the place of the tail. What it costs is what it
   * copies.
   */
  async copy(
    transaction: Queryable,
    source: { readonly id: number; readonly firstIndex: number },
    forkId: number,
    position: number,
    subBytes: number,
  ): Promise<void> {
    const { rowCount } = await transaction.query(
      `INSERT INTO ${this.schema}.stream_chunks (stream_id, index, created_at, total_bytes, data)
       SELECT $2, index, created_at,
              CASE WHEN index < $3 THEN total_bytes ELSE total_bytes - octet_length(data) + $4::integer END,
              CASE WHEN index < $3 THEN data ELSE substring(data FROM 1 FOR $4::integer) END
       FROM ${this.schema}.stream_chunks
       WHERE stream_id = $1 AND (index < $3 OR (index = $3 AND $4::integer > 0))`,
      [source.id, forkId, position, subBytes],
    );
    if (rowCount === 0 && position > 0)
      await transaction.query(
        `INSERT INTO ${this.schema}.stream_chunks (stream_id, index, total_bytes, data) VALUES ($1, $2, 0, '')`,
        [forkId, position - 1],
      );
    await transaction.query(
      `UPDATE ${this.schema}.streams SET first_index = least($2::bigint, $3::bigint) WHERE id = $1`,
      [forkId, source.firstIndex, position],
    );
  }

  /** Of a stream that forks were made of. */
  async hasForks(transaction: Queryable, streamId: number): Promise<boolean> {
    const { rows } = await transaction.query(
      `SELECT FROM ${this.schema}.durable_streams WHERE forked_from = $1 LIMIT 1`,
      [streamId],
    );
    return rows.length > 0;
  }

  /** The name stays taken until the last fork goes. Closed, so that whoever reads it by its name does not wait for ever. */
  async markGone(transaction: Queryable, streamId: number): Promise<void> {
    await transaction.query(
      `UPDATE ${this.schema}.durable_streams SET is_gone = true, expires_at = NULL WHERE stream_id = $1`,
      [streamId],
    );
    await transaction.query(
      `UPDATE ${this.schema}.streams SET status = 'aborted', message = 'deleted', closed_at = clock_timestamp()
       WHERE id = $1 AND status = 'open'`,
      [streamId],
    );
  }

  /** Frees the name; the chunks follow in batches, as with `delete`. */
  async remove(transaction: Queryable, streamId: number): Promise<void> {
    await transaction.query(`DELETE FROM ${this.schema}.durable_streams WHERE stream_id = $1`, [streamId]);
    await transaction.query(
      `UPDATE ${this.schema}.streams SET name = NULL, deleted_at = clock_timestamp() WHERE id = $1 AND name IS NOT NULL`,
      [streamId],
    );
  }

  /** A gone stream by its id, locked, when nothing is forked from it any more. */
  async lockForsaken(
    transaction: Queryable,
    streamId: number,
  ): Promise<{ readonly forkedFrom: number | undefined } | undefined> {
    const { rows } = await transaction.query<{ forked_from: string | null }>(
      `SELECT d.forked_from FROM ${this.schema}.streams s JOIN ${this.schema}.durable_streams d ON d.stream_id = s.id
       WHERE s.id = $1 AND d.is_gone FOR NO KEY UPDATE OF s`,
      [streamId],
    );
    const [row] = rows;
    if (row === undefined || (await this.hasForks(transaction, streamId))) return undefined;
    return { forkedFrom: row.forked_from === null ? undefined : Number(row.forked_from) };
  }

  /** Gone streams whose last fork went without us, with `delete` or by its age. */
  async forsaken(on: Queryable, limit: number): Promise<readonly number[]> {
    const { rows } = await on.query<{ stream_id: string }>(
      `SELECT d.stream_id FROM ${this.schema}.durable_streams d
       WHERE d.is_gone AND NOT EXISTS (SELECT FROM ${this.schema}.durable_streams f WHERE f.forked_from = d.stream_id)
       LIMIT $1`,
      [limit],
    );
    return rows.map(({ stream_id }) => Number(stream_id));
  }

  /** Names of streams whose time is over, oldest first. Locks nothing: whoever removes one looks again under its lock. */
  async expired(on: Queryable, limit: number): Promise<readonly string[]> {
    const { rows } = await on.query<{ name: string }>(
      `SELECT s.name FROM ${this.schema}.durable_streams d JOIN ${this.schema}.streams s ON s.id = d.stream_id
       WHERE d.expires_at <= clock_timestamp() AND s.name IS NOT NULL AND NOT d.is_gone
       ORDER BY d.expires_at LIMIT $1`,
      [limit],
    );
    return rows.map(({ name }) => name);
  }
}
