import { script } from '../script.js';

/**
 * Decides about entries whose owner may be gone, and acts.
 *
 * KEYS 8...: lease and waiting list of each. ARGV 1: least idle time in ms; 2: most retries; 3: most times that an entry may be read
 * without ever being leased; 4: cap of the dead letters; 5: 'lapsed' to skip the idle check for entries that had a lease; then entry id,
 * data stream and, for an entry that cannot be read, the reason ('' otherwise) of each.
 * Returns for each [what, cause, handoff id, count, fence]: what is 'lost' (somebody was faster), 'gone', 'fresh', 'alive', 'requeued' or
 * 'buried'; cause is 'crash', 'nack', 'never_leased' or 'unparseable'.
 * A script because looking at record and lease, adding, and acknowledging must be one step: of any number of scanners one wins, and
 * an owner cannot renew in between.
 */
export const RECONCILE = script(
  'reconcile',
  `
local minIdle, maxRetries, maxNeverLeased, cap = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function causeOf(record, id, deliveries)
  if record and record.id == id then return record.token == HOLD and 'nack' or 'crash' end
  return deliveries > 1 and 'crash' or 'never_leased'
end

local function endOf(fields, cause, record)
  local changes = { owner = record and record.consumer, error = (record and record.error) or nil }
  if cause == 'never_leased' then
    local times = countOf(fields.unleased) + 1
    changes.unleased = tostring(times)
    return changes, countOf(fields.count), times > maxNeverLeased and 'never_leased'
  end
  if cause == 'crash' then changes.error = 'the owner was lost' end
  -- Somebody had leased it: what was read and lost before that is no reason to give it up any more.
  if fields.unleased then changes.unleased = '0' end
  local count = countOf(fields.count) + 1
  changes.count = tostring(count)
  return changes, count, count > maxRetries and 'max_retries_exceeded'
end

local function drop(id, dataStream, record, lease)
  acknowledge(id)
  if not record then return end
  if record.token ~= HOLD then
    -- Lets the owner of the past tell "my call arrived" from "I was robbed" when it retries.
    local now = nowMs()
    redis.call('ZADD', REVOKED, now, record.token)
    redis.call('ZREMRANGEBYSCORE', REVOKED, '-inf', now - 3600000)
  end
  forget(lease, dataStream)
end

local function decide(id, dataStream, poison, lease, waiting)
  local pending = redis.call('XPENDING', STREAM, GROUP, id, id, 1)[1]
  if not pending then return { 'lost' } end
  local flat = entryAt(id)
  if not flat then
    redis.call('XACK', STREAM, GROUP, id)
    return { 'gone' }
  end
  local fields = toMap(flat)
  if poison ~= '' then
    local fence = bury(id, flat, { reason = poison, poison = '1', attempts = tostring(countOf(fields.count)) }, cap)
    acknowledge(id)
    return { 'buried', 'unparseable', fields.id or id, countOf(fields.count), fence }
  end
  if fields.stream ~= dataStream then return { 'lost' } end
  local record = recordOf(dataStream)
  if record and record.id ~= id then record = nil end
  if pending[3] < minIdle and not (record and ARGV[5] == 'lapsed') then return { 'fresh' } end
  if record and redis.call('EXISTS', lease) == 1 then return { 'alive' } end
  local cause = causeOf(record, id, pending[4])
  local changes, count, reason = endOf(fields, cause, record)
  -- Without a record of its own this entry leaves the waiters to the one that has it.
  local next = record and oldestWaiting(waiting)
  local fence = ''
  if reason then
    fence = bury(id, flat, { reason = reason, attempts = tostring(count), owner = changes.owner, error = changes.error }, cap)
  else
    redis.call('XADD', STREAM, '*', unpack(with(flat, provenance(id, fields, changes))))
  end
  putBack(waiting, dataStream, next)
  drop(id, dataStream, record, lease)
  return { reason and 'buried' or 'requeued', cause, fields.id or id, count, fence }
end

local outcomes = {}
for i = 0, (#ARGV - 5) / 3 - 1 do
  outcomes[i + 1] = decide(ARGV[6 + 3 * i], ARGV[7 + 3 * i], ARGV[8 + 3 * i], KEYS[8 + 2 * i], KEYS[9 + 2 * i])
end
return outcomes
`,
);

export interface ReconcileRules {
  readonly minIdleMs: number;
  readonly maxRetries: number;
  readonly maxNeverLeased: number;
  readonly cap: number;
  /** `lapsed`: called because a lease ran out, so an entry that had one needs no further idle time. */
  readonly mode: 'idle' | 'lapsed';
}

export interface Candidate {
  readonly id: string;
  readonly dataStream: string;
  /** Why it cannot be read; empty for an entry that can. */
  readonly poison: string;
}

export interface Reconciled {
  readonly what: 'lost' | 'gone' | 'fresh' | 'alive' | 'requeued' | 'buried';
  readonly cause: 'crash' | 'nack' | 'never_leased' | 'unparseable';
  readonly handoffId: string;
  readonly count: number;
  readonly dataStream: string;
}
