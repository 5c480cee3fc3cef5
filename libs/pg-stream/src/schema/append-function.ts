/**
 * Appends one chunk in one round trip. A refusal is a verdict and not an error, so that it breaks no transaction of the caller.
 *
 * `verdict`, in the order in which it is decided:
 * - `fenced`: the stream has seen a higher epoch of this producer, `current_epoch`.
 * - `duplicate`: the producer has written this call; `first_index` and `last_index` are null when it was not its last one. Decided before
 *   `closed`: an append that was stored and then retried after the close was not refused.
 * - `closed`: with `status` and `message` as they are. Also for the number that the close itself has taken.
 * - `gap`: `expected_seq` is the number that is due.
 * - `appended`: with `first_index` and `last_index`.
 */
export function appendFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_append(
  given_name text, given_data bytea, given_producer text, given_epoch bigint, given_seq bigint,
  OUT verdict text, OUT first_index bigint, OUT last_index bigint,
  OUT current_epoch bigint, OUT expected_seq bigint, OUT status text, OUT message text
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
  next_index bigint;
  last_seq bigint;
BEGIN
  locked_id := ${schema}.stream_lock(given_name, NULL);
  SELECT s.next_index, s.status, s.message INTO next_index, status, message
    FROM ${schema}.streams s WHERE s.id = locked_id;
  IF given_producer IS NOT NULL THEN
    SELECT p.epoch, p.last_seq, p.first_index, p.last_index INTO current_epoch, last_seq, first_index, last_index
      FROM ${schema}.stream_producers p WHERE p.stream_id = locked_id AND p.producer_id = given_producer;
    IF current_epoch > given_epoch THEN
      verdict := 'fenced';
      RETURN;
    END IF;
    expected_seq := CASE WHEN current_epoch = given_epoch THEN last_seq + 1 ELSE 0 END;
    IF given_seq < expected_seq AND (given_seq < last_seq OR first_index IS NOT NULL) THEN
      verdict := 'duplicate';
      IF given_seq < last_seq THEN
        first_index := NULL;
        last_index := NULL;
      END IF;
      RETURN;
    END IF;
  END IF;
  IF status <> 'open' THEN
    verdict := 'closed';
    RETURN;
  END IF;
  IF given_seq > expected_seq THEN
    verdict := 'gap';
    RETURN;
  END IF;
  INSERT INTO ${schema}.stream_chunks (stream_id, index, bytes, data)
    VALUES (locked_id, next_index, octet_length(given_data), given_data);
  UPDATE ${schema}.streams s SET next_index = s.next_index + 1 WHERE s.id = locked_id;
  IF given_producer IS NOT NULL THEN
    INSERT INTO ${schema}.stream_producers AS p (stream_id, producer_id, epoch, last_seq, first_index, last_index)
      VALUES (locked_id, given_producer, given_epoch, given_seq, next_index, next_index)
      ON CONFLICT ON CONSTRAINT stream_producers_pkey
      DO UPDATE SET epoch = excluded.epoch, last_seq = excluded.last_seq,
                    first_index = excluded.first_index, last_index = excluded.last_index;
  END IF;
  verdict := 'appended';
  first_index := next_index;
  last_index := next_index;
END
$$`;
}
