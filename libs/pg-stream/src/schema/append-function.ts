/**
 * The ordinary append, for a fraction of what deciding costs: the stream is open, nobody holds it, and its last chunk is of the same producer's last
 * call in the same epoch, or of nobody's where this one is nobody's either. Returns the place of the first chunk, the stream's number and the time that
 * all of the chunks bear; or nulls and has changed nothing,
 * and `stream_write` decides. `given_calls` calls with numbers from `given_seq` on, the last of which has `given_last_count` chunks.
 *
 * Waits for no row's lock, and reads the tail in a statement after the one that took it. What the first one reads of the stream's row itself is never
 * older than the lock.
 */
export function appendFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_append_next(
  given_name text, given_ends integer[], given_data bytea,
  given_producer text, given_epoch bigint, given_seq bigint, given_calls integer, given_last_count integer,
  OUT first_index bigint, OUT stream_id bigint, OUT created_at timestamptz
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
  found_id bigint;
  found_status text;
  tail_index bigint;
  tail_bytes bigint;
  tail_producer text;
  tail_seq bigint;
  last_seq bigint := given_seq + given_calls - 1;
  last_count integer := CASE WHEN given_producer IS NOT NULL THEN given_last_count END;
  chunks integer := cardinality(given_ends);
BEGIN
  SELECT s.id, s.status INTO found_id, found_status
    FROM ${schema}.streams s WHERE s.name = given_name FOR NO KEY UPDATE SKIP LOCKED;
  IF found_status IS DISTINCT FROM 'open' THEN
    RETURN;
  END IF;
  SELECT c.index, c.total_bytes, c.producer_id, c.seq INTO tail_index, tail_bytes, tail_producer, tail_seq
    FROM ${schema}.stream_chunks c WHERE c.stream_id = found_id ORDER BY c.index DESC LIMIT 1;
  IF tail_index IS NULL OR tail_producer IS DISTINCT FROM given_producer THEN
    RETURN;
  END IF;
  IF given_producer IS NOT NULL THEN
    PERFORM FROM ${schema}.stream_producers p
      WHERE p.stream_id = found_id AND p.producer_id = given_producer AND p.epoch = given_epoch
        AND tail_index >= p.since_index AND tail_seq > p.last_seq AND tail_seq = given_seq - 1;
    IF NOT FOUND THEN
      RETURN;
    END IF;
  END IF;
  stream_id := found_id;
  created_at := clock_timestamp();
  -- One chunk is inserted in half the time without a scan.
  IF chunks = 1 THEN
    INSERT INTO ${schema}.stream_chunks (stream_id, index, created_at, total_bytes, producer_id, seq, call_chunks, data)
      VALUES (found_id, tail_index + 1, created_at, tail_bytes + given_ends[1], given_producer, last_seq, last_count, given_data);
  ELSE
    INSERT INTO ${schema}.stream_chunks (stream_id, index, created_at, total_bytes, producer_id, seq, call_chunks, data)
      SELECT found_id, tail_index + n, created_at, tail_bytes + given_ends[n],
             CASE WHEN n = chunks THEN given_producer END,
             CASE WHEN n = chunks THEN last_seq END,
             CASE WHEN n = chunks THEN last_count END,
             substring(given_data FROM coalesce(given_ends[n - 1], 0) + 1 FOR given_ends[n] - coalesce(given_ends[n - 1], 0))
      FROM generate_subscripts(given_ends, 1) AS n;
  END IF;
  first_index := tail_index + 1;
END
$$`;
}
