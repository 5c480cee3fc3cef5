import { type Queryable, quoteIdentifier } from '@nest-baton/core';
import type { StreamEnd, StreamStatus } from '../reading/chunk.js';
import type { Appended, Producer } from './append-options.js';
import type { Refusal } from './refusal.js';

export type Opened = { readonly nextIndex: number; readonly lastSeq: number };

/** The columns of all three functions, as `pg` reads them: bigint as text. */
interface VerdictRow {
  readonly verdict: 'opened' | 'appended' | 'duplicate' | 'done' | 'closed' | 'fenced' | 'gap';
  readonly next_index?: string | null;
  readonly last_seq?: string | null;
  readonly first_index?: string | null;
  readonly last_index?: string | null;
  readonly current_epoch: string | null;
  readonly expected_seq?: string | null;
  readonly status?: StreamStatus | null;
  readonly message?: string | null;
}

/** The statements that write. Each is one round trip; what it locks and decides is said at its function in `schema/`. */
export class WritingStore {
  private readonly schema: string;

  constructor(schema: string) {
    this.schema = quoteIdentifier(schema);
  }

  async open(
    on: Queryable,
    stream: string,
    group: string | undefined,
    producer: { readonly id: string; readonly epoch: number } | undefined,
  ): Promise<Opened | Refusal> {
    const row = await this.call(on, 'stream_open($1, $2, $3, $4)', [
      stream,
      group ?? null,
      producer?.id ?? null,
      producer?.epoch ?? null,
    ]);
    if (row.verdict === 'opened') return { nextIndex: Number(row.next_index), lastSeq: Number(row.last_seq ?? -1) };
    return toRefusal(row);
  }

  async append(
    on: Queryable,
    stream: string,
    data: Buffer,
    producer: Producer | undefined,
  ): Promise<Appended | Refusal> {
    const row = await this.call(on, 'stream_append($1, $2, $3, $4, $5)', [stream, data, ...numbered(producer)]);
    if (row.verdict !== 'appended' && row.verdict !== 'duplicate') return toRefusal(row);
    return {
      firstIndex: Number(row.first_index ?? -1),
      lastIndex: Number(row.last_index ?? -1),
      duplicate: row.verdict === 'duplicate',
    };
  }

  async close(
    on: Queryable,
    stream: string,
    end: { readonly status: string; readonly message: string | null },
    producer: Producer | undefined,
  ): Promise<Refusal | undefined> {
    const row = await this.call(on, 'stream_close($1, $2, $3, $4, $5, $6)', [
      stream,
      end.status,
      end.message,
      ...numbered(producer),
    ]);
    return row.verdict === 'done' ? undefined : toRefusal(row);
  }

  /**
   * Whether a transaction sees the stream's row. It does not look in one that keeps the snapshot of its first query, which would then be too
   * old to see a row that is created after it: false.
   */
  async isSeenIn(transaction: Queryable, stream: string): Promise<boolean> {
    // SHOW takes no snapshot.
    const shown = await transaction.query<{ transaction_isolation: string }>('SHOW transaction_isolation');
    if (!/^read/.test(shown.rows[0]?.transaction_isolation ?? '')) return false;
    const { rows } = await transaction.query(`SELECT FROM ${this.schema}.streams WHERE name = $1`, [stream]);
    return rows.length > 0;
  }

  /** Looks first: an insert that conflicts would use up a number each time. Locks nothing that exists already. */
  async create(on: Queryable, stream: string): Promise<void> {
    await on.query(
      `INSERT INTO ${this.schema}.streams (name)
       SELECT $1 WHERE NOT EXISTS (SELECT FROM ${this.schema}.streams WHERE name = $1)
       ON CONFLICT DO NOTHING`,
      [stream],
    );
  }

  private async call(on: Queryable, call: string, values: readonly unknown[]): Promise<VerdictRow> {
    const { rows } = await on.query<VerdictRow>(`SELECT * FROM ${this.schema}.${call}`, values);
    return rows[0] as VerdictRow;
  }
}

function numbered(producer: Producer | undefined): readonly unknown[] {
  return [producer?.id ?? null, producer?.epoch ?? null, producer?.seq ?? null];
}

function toRefusal(row: VerdictRow): Refusal {
  if (row.verdict === 'fenced') return { refusal: 'fenced', currentEpoch: Number(row.current_epoch) };
  if (row.verdict === 'gap') return { refusal: 'gap', expectedSeq: Number(row.expected_seq) };
  const status = row.status as StreamEnd['status'];
  return { refusal: 'closed', end: row.message == null ? { status } : { status, message: row.message } };
}
