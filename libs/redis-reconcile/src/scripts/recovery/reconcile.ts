import { script } from '../script.js';

/**
 * Decides about entries whose owner may be gone, and acts.
 *
 * KEYS 8...: lease and waiting list of each; the last: layout. ARGV 1: least idle time in ms; 2: most retries; 3: most times that an entry may be read
 * without ever being leased; 4: cap of the dead letters; 5: 'lapsed' to skip the idle check for entries that had a lease; then entry id,
 * data stream and, for an entry that cannot be read, the reason ('' otherwise) of each.
 * Returns for each [what, cause, handoff id, count, fence]: what is 'lost' (somebody was faster), 'gone', 'fresh', 'alive', 'requeued' or
 * 'buried'; cause is 'crash', 'nack', 'never_leased' or 'unparseable'. For one that the server cannot act on its error; it stays as it was.
 * A script because looking at record and lease, adding, and acknowledging must be one step: of any number of scanners one wins, and
 * an owner cannot renew in between. Each is decided by itself; what is asked for, and what ends, is asked for, deleted, acknowledged and forgotten
 * with one command for all, since most of the time goes into calls.
 */
export const RECONCILE = script(
  'reconcile',
  `
-- What nobody owns in an old partition is on its way to a new one: added again here, it would arrive there twice.
local isShut = refusal(KEYS[#KEYS]) ~= nil
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

local count = (#ARGV - 5) / 3
local ids, dataStreams, leaseKeys, outcomes = {}, {}, {}, {}
for i = 1, count do ids[i], dataStreams[i], leaseKeys[i] = ARGV[3 + 3 * i], ARGV[4 + 3 * i], KEYS[6 + 2 * i] end
local records = redis.call('HMGET', OWNED, unpack(dataStreams))
local waiters = redis.call('HMGET', WAITING, unpack(dataStreams))
local entries = entriesOf(ids[1], ids[count], count)
local isAlive = aliveOf(leaseKeys)
local page, pendings = redis.pcall('XPENDING', STREAM, GROUP, ids[1], ids[count], count), {}
if not page.err then
  for _, one in ipairs(page) do pendings[one[1]] = one end
end
-- What is added again, or buried, and ends here; and what of it had an owner.
local ended, revoked, leases, owned = {}, {}, {}, {}
local now = nowMs()

local function decide(i, poison, lease, waiting)
  local id, dataStream = ids[i], dataStreams[i]
  local pending = pendings[id] or redis.call('XPENDING', STREAM, GROUP, id, id, 1)[1]
  if not pending then return { 'lost' } end
  local flat = entries[id] or entryAt(id)
  if not flat then
    redis.call('XACK', STREAM, GROUP, id)
    return { 'gone' }
  end
  local fields = toMap(flat)
  local record = records[i] and cjson.decode(records[i]) or nil
  if record and record.id ~= id then record = nil end
  if isShut and not record then return { 'fresh' } end
  if poison ~= '' then
    local fence = bury(id, flat, { reason = poison, poison = '1', attempts = tostring(countOf(fields.count)) }, cap)
    ended[#ended + 1] = id
    return { 'buried', 'unparseable', fields.id or id, countOf(fields.count), fence }
  end
  if fields.stream ~= dataStream then return { 'lost' } end
  if pending[3] < minIdle and not (record and ARGV[5] == 'lapsed') then return { 'fresh' } end
  if record and isAlive(i) then return { 'alive' } end
  local cause = causeOf(record, id, pending[4])
  local changes, count, reason = endOf(fields, cause, record)
  -- Without a record of its own this entry leaves the waiters to the one that has it.
  local next = record and waiters[i] and oldestWaiting(waiting) or nil
  local fence = ''
  if reason then
    fence = bury(id, flat, { reason = reason, attempts = tostring(count), owner = changes.owner, error = changes.error }, cap)
  else
    redis.call('XADD', STREAM, '*', unpack(with(flat, provenance(id, fields, changes))))
  end
  putBack(waiting, dataStream, next)
  ended[#ended + 1] = id
  if record then
    if record.token ~= HOLD then revoked[#revoked + 1], revoked[#revoked + 2] = now, record.token end
    leases[#leases + 1], owned[#owned + 1] = lease, dataStream
  end
  return { reason and 'buried' or 'requeued', cause, fields.id or id, count, fence }
end

for i = 1, count do outcomes[i] = attempt(decide, i, ARGV[5 + 3 * i], KEYS[6 + 2 * i], KEYS[7 + 2 * i]) end
if #ended > 0 then
  -- In the order of acknowledge() and forget(), each for all.
  redis.call('XDEL', STREAM, unpack(ended))
  redis.call('XACK', STREAM, GROUP, unpack(ended))
end
if #revoked > 0 then
  -- Lets owners of the past tell "my call arrived" from "I was robbed" when they retry.
  redis.call('ZADD', REVOKED, unpack(revoked))
  redis.call('ZREMRANGEBYSCORE', REVOKED, '-inf', now - 3600000)
end
if #owned > 0 then
  redis.call('DEL', unpack(leases))
  redis.call('HDEL', OWNED, unpack(owned))
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
  /** The server cannot act on it; it stays as it was, as one that was lost does. */
  readonly error?: Error;
}
