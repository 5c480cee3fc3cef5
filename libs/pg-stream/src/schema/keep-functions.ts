/** What marks that chunks are kept no longer, and what then removes them. */
export function keepFunctions(schema: string): readonly string[] {
  return [trimFunction(schema), deleteFunction(schema), abortFunction(schema), sweepFunction(schema)];
}

/**
 * Marks what lies before `given_before` as kept no longer, at most what is stored; never takes back an earlier trim. Waits at most
 * `given_wait_ms` for the row's lock (`lock_timeout`, 55P03), and reads the tail after it. False: there is no such stream.
 */
function trimFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_trim(given_name text, given_before bigint, given_wait_ms integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
BEGIN
  PERFORM set_config('lock_timeout', given_wait_ms::text, true);
  SELECT s.id INTO locked_id FROM ${schema}.streams s WHERE s.name = given_name FOR NO KEY UPDATE;
  UPDATE ${schema}.streams s SET first_index = least(given_before, h.next_index)
    FROM ${schema}.stream_heads h
    WHERE s.id = locked_id AND h.id = locked_id AND s.first_index < least(given_before, h.next_index);
  RETURN locked_id IS NOT NULL;
END
$$`;
}

/**
 * Takes the stream's name away, so that the name is free and nobody finds the chunks. Waits as `stream_trim` does; whoever waits for the row's lock to
 * append finds no such name after it, and creates another stream. By id too, so that a repeated call spares that one.
 */
function deleteFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_delete(given_id bigint, given_name text, given_wait_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('lock_timeout', given_wait_ms::text, true);
  UPDATE ${schema}.streams s SET name = NULL, deleted_at = clock_timestamp()
    WHERE s.id = given_id AND s.name = given_name;
END
$$`;
}

/**
 * Of at most `given_limit` streams whose writer lease has run out since its last renewal, closes as `aborted` those to which nothing was appended since
 * either, and returns their names; for the others, null, and the append counts as the last renewal, so that a sweep looks at a stream
 * once a lease and not each time. Passes over streams that somebody holds: he writes, renews or closes. Looks at the lease once more under the
 * lock, in a new snapshot: an append or a renewal may have come between.
 */
function abortFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_abort_silent(given_limit integer, given_message text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  -- A value, so that the index can be asked for it.
  present timestamptz := clock_timestamp();
  locked bigint[];
BEGIN
  SELECT array_agg(l.id) INTO locked FROM (
    SELECT s.id FROM ${schema}.streams s
    WHERE s.status = 'open' AND s.lease_ms IS NOT NULL AND s.name IS NOT NULL
      AND (s.renewed_at AT TIME ZONE 'UTC') + s.lease_ms * interval '1 ms' < present AT TIME ZONE 'UTC'
    ORDER BY (s.renewed_at AT TIME ZONE 'UTC') + s.lease_ms * interval '1 ms' LIMIT given_limit FOR NO KEY UPDATE OF s SKIP LOCKED
  ) l;
  RETURN QUERY UPDATE ${schema}.streams s SET status = 'aborted', message = given_message, closed_at = clock_timestamp()
    FROM ${schema}.stream_heads h
    WHERE s.id = ANY (locked) AND h.id = s.id AND h.lease_until < present RETURNING s.name;
  RETURN QUERY UPDATE ${schema}.streams s SET renewed_at = h.written_at
    FROM ${schema}.stream_heads h
    WHERE s.id = ANY (locked) AND s.status = 'open' AND h.id = s.id AND h.lease_until >= present AND h.written_at > s.renewed_at
    RETURNING NULL::text;
END
$$`;
}

/**
 * Removes at most `given_limit` chunks of a trimmed or deleted stream, and says how many; fewer than that: no more are left for this caller. With the last
 * of them a deleted stream's own row goes, and a trimmed stream counts as swept. Never locks a stream's row while it removes chunks, so that
 * appends go on; waits for no other sweeper, whose chunks are passed over, and leaves the stream to him while there are any.
 *
 * The tail stays, emptied where it is trimmed itself; one that is no longer the tail goes with the next trim, from `swept_index - 1` on.
 */
function sweepFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_sweep(given_id bigint, given_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  is_deleted boolean;
  kept_from bigint;
  bottom bigint;
  tail bigint;
  top bigint;
  removed integer;
BEGIN
  SELECT s.deleted_at IS NOT NULL, s.first_index, greatest(s.swept_index - 1, 0) INTO is_deleted, kept_from, bottom
    FROM ${schema}.streams s WHERE s.id = given_id;
  SELECT max(c.index) INTO tail FROM ${schema}.stream_chunks c WHERE c.stream_id = given_id;
  top := CASE WHEN is_deleted THEN tail + 1 ELSE least(kept_from, tail) END;
  DELETE FROM ${schema}.stream_chunks c USING (
    SELECT l.index FROM ${schema}.stream_chunks l
    WHERE l.stream_id = given_id AND l.index >= bottom AND l.index < top
    ORDER BY l.index LIMIT given_limit FOR UPDATE SKIP LOCKED
  ) l WHERE c.stream_id = given_id AND c.index = l.index;
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed = given_limit OR EXISTS (
    SELECT FROM ${schema}.stream_chunks c WHERE c.stream_id = given_id AND c.index >= bottom AND c.index < top
  ) THEN
    RETURN removed;
  END IF;
  IF is_deleted THEN
    DELETE FROM ${schema}.stream_producers p WHERE p.stream_id = given_id;
    DELETE FROM ${schema}.streams s WHERE s.id = given_id AND s.deleted_at IS NOT NULL;
  ELSE
    UPDATE ${schema}.stream_chunks c SET data = ''
      WHERE c.stream_id = given_id AND c.index = tail AND c.index < kept_from AND octet_length(c.data) > 0;
    UPDATE ${schema}.streams s SET swept_index = kept_from WHERE s.id = (
      SELECT l.id FROM ${schema}.streams l WHERE l.id = given_id AND l.swept_index < kept_from FOR NO KEY UPDATE SKIP LOCKED
    );
  END IF;
  RETURN removed;
END
$$`;
}
