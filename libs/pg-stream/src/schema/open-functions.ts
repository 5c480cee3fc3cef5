/**
 * Creates the stream when it is missing, and records the producer's epoch: once this has committed, every append with an older epoch is
 * refused, also one that waits for the row's lock now. Waits at most `given_wait_ms` for that lock (`lock_timeout`, 55P03).
 *
 * `given_lease_ms` becomes the stream's lease, from now on; null leaves it as it is. The group is that of whoever created the stream.
 *
 * `verdict`: `opened`; `existed` with `given_must_create`, when the stream was there; or `fenced` with the epoch that is in the way.
 */
export function openFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_open(
  given_name text, given_group text, given_producer text, given_epoch bigint,
  given_lease_ms integer, given_must_create boolean, given_wait_ms integer,
  OUT verdict text, OUT next_index bigint, OUT last_seq bigint, OUT current_epoch bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  opened_id bigint;
BEGIN
  PERFORM set_config('lock_timeout', given_wait_ms::text, true);
  -- Looks first: an insert that conflicts would use up a number each time.
  INSERT INTO ${schema}.streams (name, stream_group)
    SELECT given_name, given_group WHERE NOT EXISTS (SELECT FROM ${schema}.streams s WHERE s.name = given_name)
    ON CONFLICT DO NOTHING RETURNING id INTO opened_id;
  IF opened_id IS NULL THEN
    IF given_must_create THEN
      verdict := 'existed';
      RETURN;
    END IF;
    opened_id := (${schema}.stream_lock_all(ARRAY[given_name]))[1];
  END IF;
  verdict := 'opened';
  SELECT s.next_index INTO next_index FROM ${schema}.stream_heads s WHERE s.id = opened_id;
  IF given_producer IS NOT NULL THEN
    SELECT p.epoch, p.last_seq INTO current_epoch, last_seq
      FROM ${schema}.stream_producer_calls p WHERE p.stream_id = opened_id AND p.producer_id = given_producer;
    IF current_epoch > given_epoch THEN
      verdict := 'fenced';
      RETURN;
    END IF;
    IF current_epoch IS DISTINCT FROM given_epoch THEN
      last_seq := -1;
      INSERT INTO ${schema}.stream_producers AS p (stream_id, producer_id, epoch, since_index)
        VALUES (opened_id, given_producer, given_epoch, next_index)
        ON CONFLICT ON CONSTRAINT stream_producers_pkey
        DO UPDATE SET epoch = excluded.epoch, since_index = excluded.since_index, last_seq = -1, first_index = NULL, last_index = NULL;
    END IF;
  END IF;
  IF given_lease_ms IS NOT NULL THEN
    UPDATE ${schema}.streams s SET lease_ms = given_lease_ms, renewed_at = clock_timestamp()
      WHERE s.id = opened_id AND s.status = 'open';
  END IF;
END
$$`;
}

/**
 * Begins the lease of a stream anew. Waits at most `given_wait_ms` for the row's lock.
 *
 * `verdict`: `renewed`; `missing`; `fenced` with `current_epoch`; `closed` with `status` and `message`.
 */
export function renewFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_renew(
  given_name text, given_producer text, given_epoch bigint, given_wait_ms integer,
  OUT verdict text, OUT current_epoch bigint, OUT status text, OUT message text
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked_id bigint;
BEGIN
  PERFORM set_config('lock_timeout', given_wait_ms::text, true);
  SELECT s.id INTO locked_id FROM ${schema}.streams s WHERE s.name = given_name FOR NO KEY UPDATE;
  IF locked_id IS NULL THEN
    verdict := 'missing';
    RETURN;
  END IF;
  SELECT s.status, s.message INTO status, message FROM ${schema}.streams s WHERE s.id = locked_id;
  SELECT p.epoch INTO current_epoch
    FROM ${schema}.stream_producers p WHERE p.stream_id = locked_id AND p.producer_id = given_producer;
  IF current_epoch > given_epoch THEN
    verdict := 'fenced';
  ELSIF status <> 'open' THEN
    verdict := 'closed';
  ELSE
    verdict := 'renewed';
    UPDATE ${schema}.streams s SET renewed_at = clock_timestamp() WHERE s.id = locked_id;
  END IF;
END
$$`;
}
