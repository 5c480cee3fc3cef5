import { type Queryable, quoteIdentifier } from '@nest-baton/core';
import type { StreamStatus } from '../../reading/chunk.js';
import type { NewRecord, StreamRecord } from './stream-record.js';

interface RecordRow {
  readonly id: string;
  readonly first_index: string;
  readonly next_index: string;
  readonly status: StreamStatus;
  readonly content_type: string | null;
  readonly ttl_seconds: string | null;
  readonly expires_at: Date | null;
  readonly origin_id: string | null;
  readonly forked_from: string | null;
  readonly fork_offset: string | null;
  readonly fork_sub_offset: string | null;
  readonly is_gone: boolean | null;
  readonly is_expired: boolean | null;
}

/** A hundred years; a window beyond it would leave the range of timestamps. */
const MAX_TTL_SECONDS = 3_153_600_000;

/** The statements on what the protocol keeps. Each method runs on the connection it is given, so that a transaction can hold several. */
export class RecordStore {
  private readonly schema: string;

  constructor(
    schema: string,
    private readonly defaultContentType: string,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /** Locks nothing. `undefined`: nobody has opened the stream. */
  async find(on: Queryable, name: string): Promise<StreamRecord | undefined> {
    const { rows } = await on.query<RecordRow>(
      `SELECT s.id, s.first_index, s.next_index, s.status, d.content_type, d.ttl_seconds, d.expires_at, d.origin_id,
              d.forked_from, d.fork_offset, d.fork_sub_offset, d.is_gone, d.expires_at <= clock_timestamp() AS is_expired
       FROM ${this.schema}.stream_heads s LEFT JOIN ${this.schema}.durable_streams d ON d.stream_id = s.id
       WHERE s.name = $1`,
      [name],
    );
    const [row] = rows;
    return row === undefined ? undefined : this.toRecord(name, row);
  }

  /**
   * Locks the stream's row until the transaction ends, so that its tail, its end and its forks stay as they are read here: appends, closes,
   * forks and removals of one stream come one after another. `undefined` when it was removed meanwhile. Two statements: what the one that waits
   * for the lock sees of other tables is older than what the holder of the lock has written.
   */
  async lock(
    transaction: Queryable,
    { id, name }: { readonly id: number; readonly name: string },
  ): Promise<StreamRecord | undefined> {
    const { rows } = await transaction.query(
      `SELECT FROM ${this.schema}.streams WHERE id = $1 AND name = $2 FOR NO KEY UPDATE`,
      [id, name],
    );
    return rows.length === 0 ? undefined : this.find(transaction, name);
  }

  /** Of a stream that is not there yet. Waits for another transaction that creates it. `undefined`: it exists. */
  async create(transaction: Queryable, name: string, record: NewRecord): Promise<number | undefined> {
    const { rows } = await transaction.query<{ id: string }>(
      `INSERT INTO ${this.schema}.streams (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id`,
      [name],
    );
    const [row] = rows;
    if (row === undefined) return undefined;
    await this.insert(transaction, Number(row.id), record);
    return Number(row.id);
  }

  /** For a stream that has none yet, such as one that the application wrote. */
  async insert(transaction: Queryable, id: number, { contentType, expiry, originId, fork }: NewRecord): Promise<void> {
    await transaction.query(
      `INSERT INTO ${this.schema}.durable_streams
         (stream_id, content_type, ttl_seconds, expires_at, origin_id, forked_from, fork_offset, fork_sub_offset)
       VALUES ($1, $2, $3, coalesce($4::timestamptz, clock_timestamp() + $9 * interval '1 s'), $5, $6, $7, $8)
       ON CONFLICT DO NOTHING`,
      [
        id,
        contentType,
        expiry.ttlSeconds ?? null,
        expiry.expiresAt ?? null,
        originId ?? id,
        fork?.sourceId ?? null,
        fork?.offset ?? null,
        fork?.subOffset ?? 0,
        expiry.ttlSeconds === undefined ? null : Math.min(expiry.ttlSeconds, MAX_TTL_SECONDS),
      ],
    );
  }

  /** A read or a write: the window of a stream that has one begins again. */
  async touch(on: Queryable, { id, expiry }: Pick<StreamRecord, 'id' | 'expiry'>): Promise<void> {
    if (expiry.ttlSeconds === undefined) return;
    await on.query(
      `UPDATE ${this.schema}.durable_streams
       SET expires_at = clock_timestamp() + least(ttl_seconds, ${MAX_TTL_SECONDS}) * interval '1 s'
       WHERE stream_id = $1 AND ttl_seconds IS NOT NULL`,
      [id],
    );
  }

  /** Conditional, under the row's lock: false when `seq` does not come after the last one. */
  async advanceSeq(transaction: Queryable, record: StreamRecord, seq: string): Promise<boolean> {
    await this.insert(transaction, record.id, {
      contentType: record.contentType,
      expiry: record.expiry,
      originId: record.originId,
      fork: undefined,
    });
    const { rowCount } = await transaction.query(
      `UPDATE ${this.schema}.durable_streams SET last_seq = $2
       WHERE stream_id = $1 AND (last_seq IS NULL OR last_seq < $2)`,
      [record.id, seq],
    );
    return rowCount === 1;
  }

  private toRecord(name: string, row: RecordRow): StreamRecord {
    const ttlSeconds = row.ttl_seconds === null ? undefined : Number(row.ttl_seconds);
    return {
      id: Number(row.id),
      name,
      contentType: row.content_type ?? this.defaultContentType,
      firstIndex: Number(row.first_index),
      nextIndex: Number(row.next_index),
      status: row.status,
      originId: Number(row.origin_id ?? row.id),
      expiry: { ttlSeconds, expiresAt: ttlSeconds === undefined ? (row.expires_at ?? undefined) : undefined },
      isExpired: row.is_expired === true,
      isGone: row.is_gone === true,
      fork:
        row.forked_from === null
          ? undefined
          : {
              sourceId: Number(row.forked_from),
              offset: row.fork_offset ?? undefined,
              subOffset: Number(row.fork_sub_offset),
            },
    };
  }
}
