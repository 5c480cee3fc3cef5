/**
 * - `streams`: one row a stream. Its lock is held from drawing a position to the commit, which makes the order of positions the order of commits.
 *   An append only locks it: an update would leave a version behind each time, which the next ones walk over as long as anybody's old
 *   snapshot keeps them. A deleted stream has no name, so that the name is free at once, and its row is found by id until its
 *   chunks are gone. `lease_ms` is how long its writer may be silent after `renewed_at` and after its last chunk;
 *   a sweep that finds the first of the two over and the second not moves `renewed_at` to the last chunk.
 * - `stream_chunks`: the last chunk of a stream is its tail, and tells what the next one needs; so it is never removed before the stream's row is:
 *   a trim that reaches it empties `data` and moves `first_index` past it. What lies before `swept_index` is gone already; what lies
 *   between the two is not read any more, and goes in batches. `total_bytes` counts from the stream's first chunk to the
 *   end of this one. No foreign key: it would lock the stream's row once more for each chunk, and the functions are the only writers.
 * - `stream_producers`: the epoch of each producer, valid from `since_index` on, and its last call: `first_index` is null when that closed the
 *   stream, or when there was none yet (`last_seq` -1). While the tail is a producer's own (`producer_id`), its last call stands there
 *   instead (`seq`, which wrote `call_chunks`), and comes here when somebody else appends: the row changes once a turn, not once a call.
 */
export function tables(schema: string): readonly string[] {
  return [
    `CREATE TABLE ${schema}.streams (
       id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       name text COLLATE "C" UNIQUE,
       stream_group text,
       first_index bigint NOT NULL DEFAULT 0,
       swept_index bigint NOT NULL DEFAULT 0,
       status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'error', 'aborted')),
       message text,
       created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       closed_at timestamptz,
       deleted_at timestamptz,
       lease_ms integer,
       renewed_at timestamptz
     ) WITH (fillfactor = 70)`,
    `CREATE INDEX streams_stream_group ON ${schema}.streams (stream_group, name) WHERE stream_group IS NOT NULL AND name IS NOT NULL`,
    `CREATE INDEX streams_unswept ON ${schema}.streams (id) WHERE deleted_at IS NOT NULL OR swept_index < first_index`,
    `CREATE INDEX streams_leased ON ${schema}.streams (((renewed_at AT TIME ZONE 'UTC') + lease_ms * interval '1 ms'))
       WHERE status = 'open' AND lease_ms IS NOT NULL AND name IS NOT NULL`,
    `CREATE INDEX streams_closed_at ON ${schema}.streams (closed_at) WHERE closed_at IS NOT NULL AND name IS NOT NULL`,
    `CREATE TABLE ${schema}.stream_chunks (
       stream_id bigint NOT NULL,
       index bigint NOT NULL,
       created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       total_bytes bigint NOT NULL,
       seq bigint,
       call_chunks integer,
       producer_id text COLLATE "C",
       data bytea NOT NULL,
       PRIMARY KEY (stream_id, index)
     )`,
    `CREATE TABLE ${schema}.stream_producers (
       stream_id bigint NOT NULL,
       producer_id text COLLATE "C" NOT NULL,
       epoch bigint NOT NULL,
       since_index bigint NOT NULL,
       last_seq bigint NOT NULL DEFAULT -1,
       first_index bigint,
       last_index bigint,
       PRIMARY KEY (stream_id, producer_id)
     ) WITH (fillfactor = 70)`,
  ];
}

/**
 * `stream_heads` is `streams` with what the tail and the earliest kept chunk tell: two looks at an index a row, the second of them only where
 * `kept_bytes` is asked for. `stream_producer_calls` is `stream_producers` with the tail taken into account.
 */
export function views(schema: string): readonly string[] {
  return [
    `CREATE VIEW ${schema}.stream_heads AS
       SELECT s.id, s.name, s.stream_group, s.first_index, coalesce(t.index + 1, 0) AS next_index, s.status, s.message,
              s.created_at, t.created_at AS written_at, s.closed_at, s.deleted_at, s.lease_ms,
              greatest(s.renewed_at, t.created_at) + s.lease_ms * interval '1 ms' AS lease_until,
              t.total_bytes - (
                SELECT c.total_bytes - octet_length(c.data) FROM ${schema}.stream_chunks c
                WHERE c.stream_id = s.id AND c.index >= s.first_index ORDER BY c.index LIMIT 1
              ) AS kept_bytes
       FROM ${schema}.streams s LEFT JOIN LATERAL (
         SELECT c.index, c.created_at, c.total_bytes FROM ${schema}.stream_chunks c
         WHERE c.stream_id = s.id ORDER BY c.index DESC LIMIT 1
       ) t ON true`,
    `CREATE VIEW ${schema}.stream_producer_calls AS
       SELECT p.stream_id, p.producer_id, p.epoch,
              CASE WHEN t.seq IS NULL THEN p.last_seq ELSE t.seq END AS last_seq,
              CASE WHEN t.seq IS NULL THEN p.first_index ELSE t.index - t.call_chunks + 1 END AS first_index,
              CASE WHEN t.seq IS NULL THEN p.last_index ELSE t.index END AS last_index
       FROM ${schema}.stream_producers p LEFT JOIN LATERAL (
         SELECT tail.* FROM (
           SELECT c.index, c.producer_id, c.seq, c.call_chunks FROM ${schema}.stream_chunks c
           WHERE c.stream_id = p.stream_id ORDER BY c.index DESC LIMIT 1
         ) tail
         WHERE tail.producer_id = p.producer_id AND tail.index >= p.since_index AND tail.seq > p.last_seq
       ) t ON true`,
  ];
}
