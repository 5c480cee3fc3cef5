/**
 * Locks the row of a stream, creating it when it is missing, and returns its id; every other function begins with this one.
 *
 * Returns nothing but the id, so that nobody is tempted to read more in the statement that waited for the lock: its snapshot is from before the
 * wait, and what it sees of other tables is what the holder of the lock has meanwhile replaced. VOLATILE, so that each statement of the
 * callers takes a snapshot of its own.
 */
export function lockFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_lock(given_name text, given_group text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
BEGIN
  LOOP
    SELECT s.id INTO locked_id FROM ${schema}.streams s WHERE s.name = given_name FOR NO KEY UPDATE;
    IF FOUND THEN
      RETURN locked_id;
    END IF;
    -- Two that create it at once: one waits here for the other's commit, inserts nothing, and finds the row in the next round.
    INSERT INTO ${schema}.streams (name, stream_group) VALUES (given_name, given_group) ON CONFLICT DO NOTHING;
  END LOOP;
END
$$`;
}
