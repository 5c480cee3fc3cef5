/**
 * Closes a stream, creating it closed when it is missing, so that readers who wait for it end. The end is on the stream's row: no chunk can
 * lie behind it.
 *
 * `verdict`, in the order in which it is decided:
 * - `fenced`: the stream has seen a higher epoch of this producer, `current_epoch`.
 * - `done`: closed now, or closed already with the same status, whoever did it: a retried close changes nothing.
 * - `closed`: closed already with another status; `status` and `message` are the actual ones.
 * - `gap`: the producer's number is not the one that is due, `expected_seq`; a lower one was an append.
 */
export function closeFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_close(
  given_name text, given_status text, given_message text, given_producer text, given_epoch bigint, given_seq bigint,
  OUT verdict text, OUT current_epoch bigint, OUT expected_seq bigint, OUT status text, OUT message text
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
  last_seq bigint;
BEGIN
  locked_id := ${schema}.stream_lock(given_name, NULL);
  SELECT s.status, s.message INTO status, message FROM ${schema}.streams s WHERE s.id = locked_id;
  IF given_producer IS NOT NULL THEN
    SELECT p.epoch, p.last_seq INTO current_epoch, last_seq
      FROM ${schema}.stream_producers p WHERE p.stream_id = locked_id AND p.producer_id = given_producer;
    IF current_epoch > given_epoch THEN
      verdict := 'fenced';
      RETURN;
    END IF;
    expected_seq := CASE WHEN current_epoch = given_epoch THEN last_seq + 1 ELSE 0 END;
  END IF;
  IF status <> 'open' THEN
    verdict := CASE WHEN status = given_status THEN 'done' ELSE 'closed' END;
    RETURN;
  END IF;
  IF given_seq <> expected_seq THEN
    verdict := 'gap';
    RETURN;
  END IF;
  UPDATE ${schema}.streams s SET status = given_status, message = given_message, closed_at = clock_timestamp()
    WHERE s.id = locked_id;
  IF given_producer IS NOT NULL THEN
    INSERT INTO ${schema}.stream_producers AS p (stream_id, producer_id, epoch, last_seq)
      VALUES (locked_id, given_producer, given_epoch, given_seq)
      ON CONFLICT ON CONSTRAINT stream_producers_pkey
      DO UPDATE SET epoch = excluded.epoch, last_seq = excluded.last_seq, first_index = NULL, last_index = NULL;
  END IF;
  verdict := 'done';
END
$$`;
}
