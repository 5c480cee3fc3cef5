/**
 * What locks the rows of streams. They return nothing but ids, so that nobody is tempted to read more in the statement that waited for a lock: its
 * snapshot is from before the wait, and what it sees of other tables is what the holder of the lock has meanwhile replaced. VOLATILE, so
 * that each statement of the callers takes a snapshot of its own.
 */
export function lockFunctions(schema: string): readonly string[] {
  return [lockFree(schema), lockAll(schema)];
}

/**
 * Locks those of the streams that nobody holds, and returns their ids; waits for no row's lock. Creates missing ones in the order of their names: who
 * creates the same at once waits for the other's commit, and no two for each other. What came from such a commit counts as held.
 */
function lockFree(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_lock_free(given_names text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked bigint[];
  created bigint[];
BEGIN
  SELECT array_agg(l.id) INTO locked FROM (
    SELECT s.id FROM ${schema}.streams s WHERE s.name = ANY (given_names) ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
  ) l;
  IF cardinality(locked) = cardinality(given_names) THEN
    RETURN locked;
  END IF;
  WITH missing AS (
    INSERT INTO ${schema}.streams (name)
    SELECT g.name FROM unnest(given_names) AS g (name)
    WHERE NOT EXISTS (SELECT FROM ${schema}.streams s WHERE s.name = g.name)
    ORDER BY g.name COLLATE "C"
    ON CONFLICT DO NOTHING RETURNING id
  )
  SELECT array_agg(id) INTO created FROM missing;
  RETURN coalesce(locked, '{}') || coalesce(created, '{}');
END
$$`;
}

/** Locks all of the streams, creating missing ones, and waits where it must. */
function lockAll(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_lock_all(given_names text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked bigint[];
BEGIN
  LOOP
    SELECT array_agg(l.id) INTO locked FROM (
      SELECT s.id FROM ${schema}.streams s WHERE s.name = ANY (given_names) ORDER BY s.id FOR NO KEY UPDATE
    ) l;
    IF cardinality(locked) = cardinality(given_names) THEN
      RETURN locked;
    END IF;
    -- Two that create one at once: one waits here for the other's commit, inserts nothing, and finds the row in the next round.
    INSERT INTO ${schema}.streams (name)
    SELECT g.name FROM unnest(given_names) AS g (name)
    WHERE NOT EXISTS (SELECT FROM ${schema}.streams s WHERE s.name = g.name)
    ORDER BY g.name COLLATE "C"
    ON CONFLICT DO NOTHING;
  END LOOP;
END
$$`;
}
