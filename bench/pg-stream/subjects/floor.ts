import pg from 'pg';

export interface FloorStreams {
  readonly name: string;
  /** One statement, one commit: the chunks go to the streams in turn. */
  insert(streams: readonly string[], chunks: readonly Buffer[]): Promise<unknown>;
  count(): Promise<number>;
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * The least code that stores chunks durably in an order: one connection, one table, counters in memory, one multi-row insert a call. It has no
 * second writer, no idempotency, no end and no wake-up. Fixed before any tuning began; do not improve it.
 */
export async function startFloor(url: string): Promise<FloorStreams> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    'CREATE TABLE floor_chunks (stream text NOT NULL, index bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (stream, index))',
  );
  const tails = new Map<string, number>();
  const next = (stream: string): number => {
    const index = tails.get(stream) ?? 0;
    tails.set(stream, index + 1);
    return index;
  };
  let turn = 0;
  return {
    name: 'floor',
    insert: (streams, chunks) =>
      client.query({
        name: `insert-${chunks.length}`,
        text: `INSERT INTO floor_chunks VALUES ${chunks.map((_, i) => `($${3 * i + 1}, $${3 * i + 2}, $${3 * i + 3})`).join(', ')}`,
        values: chunks.flatMap((data) => {
          const stream = streams[turn++ % streams.length] as string;
          return [stream, next(stream), data];
        }),
      }),
    count: async () => Number((await client.query<{ n: string }>('SELECT count(*) AS n FROM floor_chunks')).rows[0]?.n),
    clear: async () => {
      tails.clear();
      await client.query('TRUNCATE floor_chunks');
    },
    stop: () => client.end(),
  };
}
