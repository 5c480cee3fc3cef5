/**
 * The ordinary append, for a fraction of what deciding costs: the stream is open, nobody holds it, and its last chunk is of the same producer's last
 * call in the same epoch, or of nobody's where this one is nobody's either. Returns the place of the first chunk; or null and has changed nothing,
 * and `stream_write` decides. `given_calls` calls with numbers from `given_seq` on, the last of which has `given_last_count` chunks.
 *
 * Waits for no row's lock, and reads the tail in a statement after the one that took it. What the first one reads of the stream's row itself is never
 * older than the lock.
 */
export function appendFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_append_next(
  given_name text, given_ends integer[], given_data bytea,
  given_producer text, given_epoch bigint, given_seq bigint, given_calls integer, given_last_count integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  found_id bigint;
  found_status text;
  tail record;
  chunks integer := cardinality(given_ends);
BEGIN
  SELECT s.id, s.status INTO found_id, found_status
    FROM ${schema}.streams s WHERE s.name = given_name FOR NO KEY UPDATE SKIP LOCKED;
  IF found_status IS DISTINCT FROM 'open' THEN
    RETURN NULL;
  END IF;
  SELECT c.index, c.total_bytes, c.producer_id, c.seq INTO tail
    FROM ${schema}.stream_chunks c WHERE c.stream_id = found_id ORDER BY c.index DESC LIMIT 1;
  IF tail.index IS NULL OR tail.producer_id IS DISTINCT FROM given_producer THEN
    RETURN NULL;
  END IF;
  IF given_producer IS NOT NULL THEN
    PERFORM FROM ${schema}.stream_producers p
      WHERE p.stream_id = found_id AND p.producer_id = given_producer AND p.epoch = given_epoch
        AND tail.index >= p.since_index AND tail.seq > p.last_seq AND tail.seq = given_seq - 1;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO ${schema}.stream_chunks (stream_id, index, total_bytes, producer_id, seq, call_chunks, data)
    SELECT found_id, tail.index + n, tail.total_bytes + given_ends[n],
           CASE WHEN n = chunks THEN given_producer END,
           CASE WHEN n = chunks THEN given_seq + given_calls - 1 END,
           CASE WHEN n = chunks AND given_producer IS NOT NULL THEN given_last_count END,
           substring(given_data FROM coalesce(given_ends[n - 1], 0) + 1 FOR given_ends[n] - coalesce(given_ends[n - 1], 0))
    FROM generate_series(1, chunks) AS n;
  RETURN tail.index + 1;
END
$$`;
}
