/**
 * Appends to and closes any number of streams in one statement and one commit: one item a stream, whose chunks stand one behind another in
 * `given_data` and end where `given_ends` says; `given_firsts` is how many chunks stand before an item's. An item may be `given_calls` appends of one
 * producer with consecutive numbers from `given_seqs` on, the last of which has `given_last_counts` chunks. `given_statuses`: the item closes
 * its stream.
 *
 * Locks the rows of the streams, in the order of their ids, and creates missing ones in the order of their names. Without `given_wait_ms` it waits for no
 * row's lock. With it, it waits that long for each lock (`lock_timeout`, 55P03), and with 0 as long as the transaction's own setting says.
 *
 * What it decides on is read in the statement after the one that took the locks: the snapshot of a statement that waits for a lock is older than
 * what the holder of the lock has written. A refusal is a verdict and not an error, so that it breaks nothing for the other items.
 *
 * `placed`: item by item the place of its first chunk, where it was appended, and null elsewhere. `others`: of those elsewhere (null: there are none)
 * `item`, which counts from 1, with the `verdict`, in the order in which it is decided:
 * - `held`: somebody else has locked the stream, and nothing became of the item.
 * - `fenced`: the stream has seen a higher epoch of this producer, `currentEpoch`.
 * - `duplicate` (appends): the producer has written all of the calls; `firstIndex` and `lastIndex` are those of the last one, and null when it was not the
 *   producer's last. Decided before `closed`: an append that was stored and then retried after the close was not refused.
 * - `done` (closes): closed already with the same status, whoever did it.
 * - `closed`: with `status` and `message` as they are. Also for the number that the close itself has taken.
 * - `overlap`: the producer has written some of the calls: give them one by one.
 * - `gap`: `expectedSeq` is the number that is due.
 * - `misplaced`: the next chunk's place, `nextIndex`, is not `given_expected`.
 * - `ended`.
 *
 * `landed_id`, `landed_at`: the stream's number and the time of all its chunks, where the one item was an ordinary append; null elsewhere.
 */
export function writeFunction(schema: string): string {
  return `
CREATE FUNCTION ${schema}.stream_write(
  given_names text[], given_firsts integer[], given_counts integer[], given_ends integer[], given_data bytea,
  given_producers text[], given_epochs bigint[], given_seqs bigint[], given_calls integer[], given_last_counts integer[],
  given_expected bigint[], given_statuses text[], given_messages text[], given_wait_ms integer,
  OUT placed bigint[], OUT others jsonb, OUT landed_id bigint, OUT landed_at timestamptz
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  is_fresh boolean := current_setting('transaction_isolation') LIKE 'read%';
  locked bigint[];
  appended record;
BEGIN
  IF given_wait_ms IS NULL THEN
    IF is_fresh AND cardinality(given_names) = 1 AND given_expected IS NULL AND given_statuses IS NULL THEN
      appended := ${schema}.stream_append_next(
        given_names[1], given_ends, given_data,
        given_producers[1], given_epochs[1], given_seqs[1], given_calls[1], given_last_counts[1]
      );
      IF appended.first_index IS NOT NULL THEN
        placed[1] := appended.first_index;
        landed_id := appended.stream_id;
        landed_at := appended.created_at;
        RETURN;
      END IF;
    END IF;
    locked := ${schema}.stream_lock_free(given_names);
  ELSE
    IF given_wait_ms > 0 THEN
      PERFORM set_config('lock_timeout', given_wait_ms::text, true);
    END IF;
    locked := ${schema}.stream_lock_all(given_names);
  END IF;
  -- A caller's transaction may keep the snapshot of its first query: what has changed since then is found by the lock (40001), or by the
  -- place that is taken (23505).
  IF NOT is_fresh THEN
    PERFORM FROM ${schema}.stream_producers p
      WHERE p.stream_id = ANY (locked) AND p.producer_id = ANY (given_producers) FOR NO KEY UPDATE;
  END IF;
  ${decide(schema)}
  SELECT array_agg(CASE WHEN d.verdict = 'appended' THEN d.next_index END ORDER BY d.item),
         jsonb_agg(jsonb_build_object(
           'item', d.item, 'verdict', d.verdict, 'firstIndex', d.known_first, 'lastIndex', d.known_last, 'nextIndex', d.next_index,
           'currentEpoch', d.current_epoch, 'expectedSeq', d.expected_seq, 'status', d.status, 'message', d.message
         )) FILTER (WHERE d.verdict <> 'appended')
  INTO placed, others FROM decided d;
END
$$`;
}

function decide(schema: string): string {
  return `WITH states AS (
    SELECT i.*, s.id, s.status, s.message,
           coalesce(t.index + 1, 0) AS next_index, coalesce(t.total_bytes, 0) AS total_bytes,
           t.producer_id AS tail_producer, t.seq AS tail_seq, t.call_chunks AS tail_chunks,
           p.epoch AS current_epoch,
           CASE WHEN p.epoch = i.epoch THEN CASE WHEN o.is_tail THEN t.seq ELSE p.last_seq END ELSE -1 END AS last_seq,
           CASE WHEN o.is_tail THEN t.index - t.call_chunks + 1 ELSE p.first_index END AS call_first,
           CASE WHEN o.is_tail THEN t.index ELSE p.last_index END AS call_last
    FROM unnest(
      given_names, given_firsts, given_counts, given_producers, given_epochs, given_seqs, given_calls, given_last_counts,
      given_expected, given_statuses, given_messages
    ) WITH ORDINALITY AS i (
      name, first, count, producer, epoch, seq, calls, last_count, expected, end_status, end_message, item
    )
    LEFT JOIN ${schema}.streams s ON s.name = i.name AND s.id = ANY (locked)
    LEFT JOIN LATERAL (
      SELECT c.index, c.total_bytes, c.producer_id, c.seq, c.call_chunks FROM ${schema}.stream_chunks c
      WHERE c.stream_id = s.id ORDER BY c.index DESC LIMIT 1
    ) t ON true
    LEFT JOIN ${schema}.stream_producers p ON p.stream_id = s.id AND p.producer_id = i.producer
    CROSS JOIN LATERAL (
      SELECT t.producer_id = i.producer AND t.index >= p.since_index AND t.seq > p.last_seq AS is_tail
    ) o
  ), decided AS MATERIALIZED (
    SELECT d.*, d.last_seq + 1 AS expected_seq,
           CASE WHEN d.seq + d.calls - 1 = d.last_seq THEN d.call_first END AS known_first,
           CASE WHEN d.seq + d.calls - 1 = d.last_seq THEN d.call_last END AS known_last,
           CASE
             WHEN d.id IS NULL THEN 'held'
             WHEN d.current_epoch > d.epoch THEN 'fenced'
             WHEN d.end_status IS NULL AND d.seq + d.calls - 1 <= d.last_seq
                  AND (d.seq + d.calls - 1 < d.last_seq OR d.call_first IS NOT NULL) THEN 'duplicate'
             WHEN d.end_status IS NULL AND d.seq <= d.last_seq AND d.calls > 1 THEN 'overlap'
             WHEN d.status = d.end_status THEN 'done'
             WHEN d.status <> 'open' THEN 'closed'
             WHEN d.seq <> d.last_seq + 1 THEN 'gap'
             WHEN d.expected <> d.next_index THEN 'misplaced'
             WHEN d.end_status IS NULL THEN 'appended'
             ELSE 'ended'
           END AS verdict
    FROM states d
  ), ${carryOut(schema)}`;
}

function carryOut(schema: string): string {
  return `inserted AS (
    INSERT INTO ${schema}.stream_chunks (stream_id, index, total_bytes, producer_id, seq, call_chunks, data)
    SELECT d.id, d.next_index + n - 1, d.total_bytes + given_ends[d.first + n] - coalesce(given_ends[d.first], 0),
           CASE WHEN n = d.count THEN d.producer END,
           CASE WHEN n = d.count THEN d.seq + d.calls - 1 END,
           CASE WHEN n = d.count AND d.producer IS NOT NULL THEN d.last_count END,
           substring(given_data FROM coalesce(given_ends[d.first + n - 1], 0) + 1
                                FOR given_ends[d.first + n] - coalesce(given_ends[d.first + n - 1], 0))
    FROM decided d CROSS JOIN LATERAL generate_series(1, d.count) AS n
    WHERE d.verdict = 'appended'
  ), replaced AS (
    UPDATE ${schema}.stream_producers q
    SET last_seq = d.tail_seq, first_index = d.next_index - d.tail_chunks, last_index = d.next_index - 1
    FROM decided d
    WHERE d.verdict = 'appended' AND d.tail_producer IS DISTINCT FROM d.producer
      AND q.stream_id = d.id AND q.producer_id = d.tail_producer
      AND q.since_index < d.next_index AND q.last_seq < d.tail_seq
  ), entered AS (
    INSERT INTO ${schema}.stream_producers AS q (stream_id, producer_id, epoch, since_index, last_seq)
    SELECT d.id, d.producer, d.epoch, d.next_index, CASE WHEN d.verdict = 'ended' THEN d.seq ELSE -1 END
    FROM decided d
    WHERE d.producer IS NOT NULL
      AND (d.verdict = 'ended' OR d.verdict = 'appended' AND d.current_epoch IS DISTINCT FROM d.epoch)
    ON CONFLICT ON CONSTRAINT stream_producers_pkey
    DO UPDATE SET epoch = excluded.epoch, since_index = excluded.since_index, last_seq = excluded.last_seq,
                  first_index = NULL, last_index = NULL
  ), ended AS (
    UPDATE ${schema}.streams s SET status = d.end_status, message = d.end_message, closed_at = clock_timestamp()
    FROM decided d WHERE d.verdict = 'ended' AND s.id = d.id
  )`;
}
