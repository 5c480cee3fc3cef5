import { quoteIdentifier } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import type { StreamEnd, StreamInfo, StreamStatus } from './chunk.js';
import { chunkOf, MAX_PAGE_BYTES, type StreamSlice } from './slice.js';

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
  readonly first_index: string;
  readonly next_index: string;
  readonly kept_bytes: string | null;
  readonly status: StreamStatus;
  readonly message: string | null;
  readonly stream_group: string | null;
  readonly created_at: Date;
  readonly written_at: Date | null;
  readonly closed_at: Date | null;
  readonly lease_ms: number | null;
  readonly lease_until: Date | null;
  readonly epoch: string | null;
  readonly last_seq: string | null;
  readonly last_index: string | null;
}

/** The statements that read. They lock nothing. */
export class ReadingStore {
  private readonly schema: string;

  constructor(
    private readonly database: Pick<StreamDatabase, 'query' | 'queryPrepared'>,
    schema: string,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /**
   * The chunks from `position` on, or from the earliest kept one, at most `limit` and about 1 MiB, with the stream's row: one statement and so one snapshot, in which a
   * closed stream has all its chunks. `undefined`: nobody has opened the stream.
   */
  async slice(stream: string, position: number | undefined, limit: number): Promise<StreamSlice | undefined> {
    const { rows } = await this.database.queryPrepared<SliceRow>(
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
      chunks: rows
        .filter(({ index }) => index !== null)
        .map(({ index, data, created_at: at }) => chunkOf(streamId, Number(index), data, new Date(at))),
    };
  }

  /** `undefined`: nobody has opened the stream. */
  async info(stream: string, producer: string | undefined): Promise<StreamInfo | undefined> {
    const { rows } = await this.database.query<InfoRow>(
      `SELECT s.first_index, s.next_index, s.kept_bytes, s.status, s.message, s.stream_group, s.created_at, s.written_at, s.closed_at,
              s.lease_ms, s.lease_until, p.epoch, p.last_seq, p.last_index
       FROM ${this.schema}.stream_heads s
       LEFT JOIN ${this.schema}.stream_producer_calls p ON p.stream_id = s.id AND p.producer_id = $2
       WHERE s.name = $1`,
      [stream, producer ?? null],
    );
    const [row] = rows;
    return row === undefined ? undefined : toInfo(row);
  }
}

function toInfo(row: InfoRow): StreamInfo {
  return {
    tailIndex: Number(row.next_index) - 1,
    firstIndex: Number(row.first_index),
    keptBytes: Number(row.kept_bytes ?? 0),
    done: row.status !== 'open',
    status: row.status,
    createdAt: new Date(row.created_at),
    ...(row.message !== null && { message: row.message }),
    ...(row.stream_group !== null && { group: row.stream_group }),
    ...(row.written_at !== null && { writtenAt: new Date(row.written_at) }),
    ...(row.lease_ms !== null &&
      row.lease_until !== null &&
      row.status === 'open' && { lease: { ms: row.lease_ms, until: new Date(row.lease_until) } }),
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

function toEnd(status: StreamStatus, message: string | null): StreamEnd | undefined {
  if (status === 'open') return undefined;
  return message === null ? { status } : { status, message };
}
