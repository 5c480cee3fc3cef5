/**
 * - `streams`: one row a stream. `next_index` is the position of the next chunk, so the tail is `next_index - 1`; the row's lock is held from
 *   drawing a position to the commit, which makes the order of positions the order of commits. The free space keeps its updates on one page.
 * - `stream_chunks`: `bytes` is the size of `data`, so that a page can be bounded without reading the data. No foreign key: it would
 *   lock the stream's row once more for each chunk, and the functions are the only writers.
 * - `stream_producers`: the last call of each producer. `first_index` is null when that call closed the stream, or when there was none yet
 *   (`last_seq` -1).
 */
export function tables(schema: string): readonly string[] {
  return [
    `CREATE TABLE ${schema}.streams (
       id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       name text COLLATE "C" NOT NULL UNIQUE,
       stream_group text,
       next_index bigint NOT NULL DEFAULT 0,
       status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'error', 'aborted')),
       message text,
       created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       closed_at timestamptz
     ) WITH (fillfactor = 70)`,
    `CREATE TABLE ${schema}.stream_chunks (
       stream_id bigint NOT NULL,
       index bigint NOT NULL,
       bytes integer NOT NULL,
       created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       data bytea NOT NULL,
       PRIMARY KEY (stream_id, index)
     )`,
    `CREATE TABLE ${schema}.stream_producers (
       stream_id bigint NOT NULL,
       producer_id text COLLATE "C" NOT NULL,
       epoch bigint NOT NULL,
       last_seq bigint NOT NULL DEFAULT -1,
       first_index bigint,
       last_index bigint,
       PRIMARY KEY (stream_id, producer_id)
     ) WITH (fillfactor = 70)`,
  ];
}
