import { type Queryable, quoteIdentifier } from '@nest-baton/core';
import type { StreamEnd, StreamStatus } from '../reading/chunk.js';
import type { Refusal } from './refusal.js';
import type { Announcement } from '../waking/stream-hints.js';
import { encodeWrite, type WriteItem } from './write-encoding.js';

export type Opened = { readonly nextIndex: number; readonly lastSeq: number };

/** Of an ordinary append: what its readers need to know to take the chunks from the writer's hand. */
interface Landing {
  readonly streamId: number;
  readonly createdAt: Date;
}

/** What became of an item. Indexes are those of all its chunks; of a duplicate those of its last call, and -1 when they are not known any more. */
export type Written =
  | {
      readonly verdict: 'appended' | 'duplicate';
      readonly firstIndex: number;
      readonly lastIndex: number;
      readonly landed?: Landing;
    }
  /** Some of its calls are stored already: they have to be given one by one. */
  | { readonly verdict: 'overlap' }
  | { readonly verdict: 'ended' }
  | Refusal;

export interface OpenRequest {
  readonly stream: string;
  readonly group: string | undefined;
  readonly producer: { readonly id: string; readonly epoch: number } | undefined;
  readonly leaseMs: number | undefined;
  readonly mustCreate: boolean;
}

/** The columns of `stream_open` and `stream_renew`, as `pg` reads them: bigint as text. */
interface VerdictRow {
  readonly verdict: string;
  readonly next_index?: string | null;
  readonly last_seq?: string | null;
  readonly current_epoch: string | null;
  readonly status?: StreamStatus | null;
  readonly message?: string | null;
}

/** What became of items, as text: a user may have told `pg` to read arrays and JSON otherwise. */
interface WrittenRow {
  readonly placed: string;
  readonly others: string | null;
  readonly landed_id: string | null;
  readonly landed_at: Date;
}

/** One of `others`. */
interface OtherVerdict {
  readonly item: number;
  readonly verdict: string;
  readonly firstIndex: number | null;
  readonly lastIndex: number | null;
  readonly nextIndex: number;
  readonly currentEpoch: number | null;
  readonly expectedSeq: number | null;
  readonly status: StreamStatus | null;
  readonly message: string | null;
}

/** The statements that write. Each is one round trip; what it locks and decides is said at its function in `schema/`. */
export class WritingStore {
  private readonly schema: string;

  /** @param announce what a statement that writes to the streams sends along, by NOTIFY, with its commit. */
  constructor(
    schema: string,
    private readonly announce: (streams: readonly string[]) => Announcement | undefined = () => undefined,
  ) {
    this.schema = quoteIdentifier(schema);
  }

  /**
   * One element an item: `undefined` when its stream is locked by somebody else. With `waitMs` it waits for the lock, that long, or with 0 as
   * long as the session's `lock_timeout` says.
   */
  async write(
    on: Queryable,
    items: readonly WriteItem[],
    waitMs: number | undefined,
  ): Promise<readonly (Written | undefined)[]> {
    const told = this.announce(items.map(({ stream }) => stream));
    const tell = told === undefined ? '' : '(SELECT pg_notify($15, $16)) AS told, ';
    const { rows } = await on.query<WrittenRow>(
      `SELECT w.placed::text, w.others::text, w.landed_id, w.landed_at FROM ${tell}${this.schema}.stream_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS w`,
      [...encodeWrite(items, waitMs), ...(told === undefined ? [] : [told.channel, told.payload])],
    );
    return toWritten(items, rows[0] as WrittenRow);
  }

  async open(
    on: Queryable,
    { stream, group, producer, leaseMs, mustCreate }: OpenRequest,
    waitMs: number,
  ): Promise<Opened | Refusal> {
    const { rows } = await on.query<VerdictRow>(
      `SELECT * FROM ${this.schema}.stream_open($1, $2, $3, $4, $5, $6, $7)`,
      [stream, group ?? null, producer?.id ?? null, producer?.epoch ?? null, leaseMs ?? null, mustCreate, waitMs],
    );
    const row = rows[0] as VerdictRow;
    if (row.verdict === 'opened') return { nextIndex: Number(row.next_index), lastSeq: Number(row.last_seq ?? -1) };
    return toRefusal(row);
  }

  async renew(
    on: Queryable,
    stream: string,
    producer: { readonly id: string; readonly epoch: number } | undefined,
    waitMs: number,
  ): Promise<Refusal | undefined> {
    const { rows } = await on.query<VerdictRow>(`SELECT * FROM ${this.schema}.stream_renew($1, $2, $3, $4)`, [
      stream,
      producer?.id ?? null,
      producer?.epoch ?? null,
      waitMs,
    ]);
    const row = rows[0] as VerdictRow;
    return row.verdict === 'renewed' ? undefined : toRefusal(row);
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
}

/** `placed` is an array's literal of numbers and NULL. */
function toWritten(items: readonly WriteItem[], row: WrittenRow): readonly (Written | undefined)[] {
  const { placed, others } = row;
  const firsts = placed.slice(1, -1).split(',');
  const written = items.map(({ chunks }, nth): Written | undefined => {
    const firstIndex = Number(firsts[nth]);
    return Number.isNaN(firstIndex)
      ? undefined
      : { verdict: 'appended', firstIndex, lastIndex: firstIndex + chunks.length - 1, ...landedOf(row) };
  });
  if (others !== null) for (const one of JSON.parse(others) as OtherVerdict[]) written[one.item - 1] = toOther(one);
  return written;
}

function landedOf({ landed_id: id, landed_at: at }: WrittenRow): { readonly landed?: Landing } {
  return id === null ? {} : { landed: { streamId: Number(id), createdAt: new Date(at) } };
}

function toOther(one: OtherVerdict): Written | undefined {
  switch (one.verdict) {
    case 'held':
      return undefined;
    case 'duplicate':
      return { verdict: 'duplicate', firstIndex: one.firstIndex ?? -1, lastIndex: one.lastIndex ?? -1 };
    case 'overlap':
      return { verdict: 'overlap' };
    case 'ended':
    case 'done':
      return { verdict: 'ended' };
    case 'fenced':
      return { refusal: 'fenced', currentEpoch: one.currentEpoch ?? 0 };
    case 'gap':
      return { refusal: 'gap', expectedSeq: one.expectedSeq ?? 0 };
    case 'misplaced':
      return { refusal: 'misplaced', nextIndex: one.nextIndex };
    default:
      return closedRefusal(one);
  }
}

function toRefusal(row: VerdictRow): Refusal {
  switch (row.verdict) {
    case 'fenced':
      return { refusal: 'fenced', currentEpoch: Number(row.current_epoch) };
    case 'existed':
      return { refusal: 'existed' };
    case 'missing':
      return { refusal: 'missing' };
    default:
      return closedRefusal(row);
  }
}

function closedRefusal(row: { readonly status?: StreamStatus | null; readonly message?: string | null }): Refusal {
  const status = row.status as StreamEnd['status'];
  return { refusal: 'closed', end: row.message == null ? { status } : { status, message: row.message } };
}
