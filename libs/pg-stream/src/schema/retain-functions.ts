/** What finds streams, and chunks of streams, that are older or more than is to be kept, and marks them as `delete` and `trim` do. */
export function retainFunctions(schema: string): readonly string[] {
  return [expireFunction(schema), excessFunction(schema), retainFunction(schema)];
}

/**
 * Takes their names away from at most `given_limit` streams that were closed longer than `given_closed_ms` ago, and returns the names. Passes over
 * those that somebody holds: another sweeper has them, or they are deleted anyway.
 */
function expireFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_expire(given_limit integer, given_closed_ms bigint) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  -- A value, so that the index can be asked for it.
  cutoff timestamptz := clock_timestamp() - given_closed_ms * interval '1 ms';
BEGIN
  RETURN QUERY
  UPDATE ${schema}.streams s SET name = NULL, deleted_at = clock_timestamp()
    FROM (
      SELECT e.id, e.name FROM ${schema}.streams e
      WHERE e.closed_at < cutoff AND e.name IS NOT NULL
      ORDER BY e.closed_at LIMIT given_limit FOR UPDATE SKIP LOCKED
    ) l WHERE s.id = l.id RETURNING l.name;
END
$$`;
}

/**
 * The first of the kept chunks `given_first` to `given_tail` that stays: it was written at or after `given_cutoff`, and begins at or behind byte
 * `given_bytes` of the stream; either may be null. Looks at the logarithm of their number, since both only grow from chunk to chunk. Locks nothing.
 */
function excessFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_excess(
  given_id bigint, given_first bigint, given_tail bigint, given_cutoff timestamptz, given_bytes bigint
) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
  low bigint := given_first;
  high bigint := given_tail + 1;
  middle bigint;
  is_excess boolean;
BEGIN
  WHILE low < high LOOP
    middle := (low + high) / 2;
    SELECT c.created_at < given_cutoff OR c.total_bytes - octet_length(c.data) < given_bytes INTO is_excess
      FROM ${schema}.stream_chunks c WHERE c.stream_id = given_id AND c.index = middle;
    IF is_excess THEN
      low := middle + 1;
    ELSE
      high := middle;
    END IF;
  END LOOP;
  RETURN low;
END
$$`;
}

/**
 * Looks at the next `given_limit` streams behind number `given_after`, and trims those whose earliest kept chunk is older than `given_max_age_ms`, or
 * that keep more than `given_max_bytes`; either may be null. Stops behind the fiftieth such stream, so that no lock is held for long.
 *
 * `last_id`: where the next call goes on; null when there are no more streams. Waits for no row's lock: a stream that somebody holds is trimmed the next
 * time. What to trim is read after the lock.
 */
function retainFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_retain(
  given_after bigint, given_limit integer, given_max_age_ms bigint, given_max_bytes bigint,
  OUT last_id bigint, OUT looked integer, OUT trimmed integer
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  cutoff timestamptz := clock_timestamp() - given_max_age_ms * interval '1 ms';
  due bigint[];
  locked bigint[];
BEGIN
  SELECT max(l.id), count(*), array_agg(l.id ORDER BY l.id) FILTER (WHERE l.is_due) INTO last_id, looked, due FROM (
    SELECT s.id, f.created_at < cutoff OR t.total_bytes - f.bytes_before > given_max_bytes AS is_due
    FROM (
      SELECT n.id, n.first_index FROM ${schema}.streams n
      WHERE n.id > given_after AND n.name IS NOT NULL ORDER BY n.id LIMIT given_limit
    ) s
    LEFT JOIN LATERAL (
      SELECT c.created_at, c.total_bytes - octet_length(c.data) AS bytes_before FROM ${schema}.stream_chunks c
      WHERE c.stream_id = s.id AND c.index >= s.first_index ORDER BY c.index LIMIT 1
    ) f ON true
    LEFT JOIN LATERAL (
      SELECT c.total_bytes FROM ${schema}.stream_chunks c WHERE c.stream_id = s.id ORDER BY c.index DESC LIMIT 1
    ) t ON given_max_bytes IS NOT NULL
  ) l;
  trimmed := 0;
  IF due IS NULL THEN
    RETURN;
  END IF;
  IF cardinality(due) > 50 THEN
    due := due[1:50];
    last_id := due[50];
  END IF;
  SELECT array_agg(l.id) INTO locked FROM (
    SELECT s.id FROM ${schema}.streams s WHERE s.id = ANY (due) AND s.name IS NOT NULL ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
  ) l;
  UPDATE ${schema}.streams s SET first_index = e.first_index
    FROM (
      SELECT n.id, ${schema}.stream_excess(n.id, n.first_index, t.index, cutoff, t.total_bytes - given_max_bytes) AS first_index
      FROM ${schema}.streams n CROSS JOIN LATERAL (
        SELECT c.index, c.total_bytes FROM ${schema}.stream_chunks c WHERE c.stream_id = n.id ORDER BY c.index DESC LIMIT 1
      ) t WHERE n.id = ANY (locked)
    ) e WHERE s.id = e.id AND s.first_index < e.first_index;
  GET DIAGNOSTICS trimmed = ROW_COUNT;
END
$$`;
}
