import { type Queryable, quoteIdentifier } from '@nest-baton/core';
import type { Chunk, StreamEnd, StreamInfo, StreamStatus } from './chunk.js';
import { encodeCursor } from './cursor.js';
import type { StreamSlice } from './slice.js';

/** A page's bytes, whatever its chunks; one chunk is always in it. */
const MAX_PAGE_BYTES = 1024 * 1024;

interface SliceRow {
  readonly id: string;
  readonly first_index: string;
  readonly next_index: string;
  readonly status: StreamStatus;
  readonly message: string | null;
  readonly index: string | null;
  readonly data: Uint8Array;
  readonly created_at: Date;
}

interface InfoRow {
  readonly next_index: string;
  readonly status: StreamStatus;
  readonly message: string | null;
  readonly stream_group: string | null;
  readonly created_at: Date;
  readonly closed_at: Date | null;
  readonly epoch: string | null;
  readonly last_seq: string | null;
  readonly last_index: string | null;
}

/** The statements that read. They lock nothing. */
export class ReadingStore {
  private readonly schema: string;

  constructor(
    private readonly database: Queryable,
    schema: string,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /**
   * The chunks from `position` on, or from the earliest kept one, at most `limit` and about 1 MiB, with the stream's row: one statement and so one snapshot, in which a
   * closed stream has all its chunks. `undefined`: nobody has opened the stream.
   */
  async slice(stream: string, position: number | undefined, limit: number): Promise<StreamSlice | undefined> {
    const { rows } = await this.database.query<SliceRow>(
      `SELECT s.id, s.first_index, s.next_index, s.status, s.message, c.index, c.data, c.created_at
       FROM ${this.schema}.stream_heads s LEFT JOIN LATERAL (
         SELECT b.index, b.data, b.created_at FROM (
           SELECT p.index, p.data, p.created_at, p.bytes, sum(p.bytes) OVER (ORDER BY p.index) AS total
           FROM (
             SELECT q.index, q.data, q.created_at, octet_length(q.data) AS bytes FROM ${this.schema}.stream_chunks q
             WHERE q.stream_id = s.id AND q.index >= greatest($2, s.first_index) ORDER BY q.index LIMIT $3
           ) p
         ) b WHERE b.total <= $4 OR b.total = b.bytes
       ) c ON true
       WHERE s.name = $1 ORDER BY c.index`,
      [stream, position ?? 0, limit, MAX_PAGE_BYTES],
    );
    const [first] = rows;
    if (first === undefined) return undefined;
    const streamId = Number(first.id);
    const firstIndex = Number(first.first_index);
    return {
      streamId,
      position: position ?? firstIndex,
      firstIndex,
      nextIndex: Number(first.next_index),
      end: toEnd(first.status, first.message),
      chunks: rows.filter(({ index }) => index !== null).map((row) => toChunk(streamId, row)),
    };
  }

  /** `undefined`: nobody has opened the stream. */
  async info(stream: string, producer: string | undefined): Promise<StreamInfo | undefined> {
    const { rows } = await this.database.query<InfoRow>(
      `SELECT s.next_index, s.status, s.message, s.stream_group, s.created_at, s.closed_at, p.epoch, p.last_seq, p.last_index
       FROM ${this.schema}.stream_heads s
       LEFT JOIN ${this.schema}.stream_producer_calls p ON p.stream_id = s.id AND p.producer_id = $2
       WHERE s.name = $1`,
      [stream, producer ?? null],
    );
    const [row] = rows;
    if (row === undefined) return undefined;
    return {
      tailIndex: Number(row.next_index) - 1,
      done: row.status !== 'open',
      status: row.status,
      createdAt: new Date(row.created_at),
      ...(row.message !== null && { message: row.message }),
      ...(row.stream_group !== null && { group: row.stream_group }),
      ...(row.closed_at !== null && { closedAt: new Date(row.closed_at) }),
      ...(row.epoch !== null && {
        producer: {
          epoch: Number(row.epoch),
          lastSeq: Number(row.last_seq),
          ...(row.last_index !== null && { lastIndex: Number(row.last_index) }),
        },
      }),
    };
  }
}

function toEnd(status: StreamStatus, message: string | null): StreamEnd | undefined {
  if (status === 'open') return undefined;
  return message === null ? { status } : { status, message };
}

function toChunk(streamId: number, row: SliceRow): Chunk {
  const index = Number(row.index);
  return {
    index,
    cursor: encodeCursor({ streamId, position: index + 1, isEnd: false }),
    data: row.data,
    createdAt: new Date(row.created_at),
  };
}
