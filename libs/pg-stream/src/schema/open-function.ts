/**
 * Creates the stream when it is missing, and records the producer's epoch: once this has committed, every append with an older epoch is
 * refused, also one that waits for the row's lock now.
 *
 * `verdict`: `opened`, or `fenced` with the epoch that is in the way.
 */
export function openFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_open(
  given_name text, given_group text, given_producer text, given_epoch bigint,
  OUT verdict text, OUT next_index bigint, OUT last_seq bigint, OUT current_epoch bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
BEGIN
  locked_id := ${schema}.stream_lock(given_name, given_group);
  verdict := 'opened';
  SELECT s.next_index INTO next_index FROM ${schema}.streams s WHERE s.id = locked_id;
  IF given_producer IS NULL THEN
    RETURN;
  END IF;
  SELECT p.epoch, p.last_seq INTO current_epoch, last_seq
    FROM ${schema}.stream_producers p WHERE p.stream_id = locked_id AND p.producer_id = given_producer;
  IF current_epoch > given_epoch THEN
    verdict := 'fenced';
  ELSIF current_epoch IS NULL OR current_epoch < given_epoch THEN
    last_seq := -1;
    INSERT INTO ${schema}.stream_producers AS p (stream_id, producer_id, epoch) VALUES (locked_id, given_producer, given_epoch)
      ON CONFLICT ON CONSTRAINT stream_producers_pkey
      DO UPDATE SET epoch = excluded.epoch, last_seq = -1, first_index = NULL, last_index = NULL;
  END IF;
END
$$`;
}
