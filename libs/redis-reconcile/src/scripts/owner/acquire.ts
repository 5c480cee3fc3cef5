import { script } from '../script.js';

/**
 * Takes ownership of entries that were just read.
 *
 * KEYS 8...: lease and waiting list of each. ARGV 1: consumer; 2: lease in ms; then entry id, data stream and token of each.
 * Returns for each ['granted', fence], or ['gone'] (no longer pending for this consumer), ['owned'] (read again although its owner
 * lives), ['waiting'] (another hand-off of this data stream has an owner; this one now waits in the list).
 * A script because between reading and leasing a scan may have given the entry to somebody else, and two entries of one data stream may be
 * read by two processes at once.
 */
export const ACQUIRE = script(
  'acquire',
  `
local consumer, leaseMs = ARGV[1], ARGV[2]
local outcomes = {}

local function toTheList(id, dataStream, waiting)
  local flat = entryAt(id)
  if not flat then
    redis.call('XACK', STREAM, GROUP, id)
    return { 'gone' }
  end
  redis.call('RPUSH', waiting, cmsgpack.pack(with(flat, provenance(id, toMap(flat), {}))))
  redis.call('HINCRBY', WAITING, dataStream, 1)
  acknowledge(id)
  return { 'waiting' }
end

local function acquire(id, dataStream, token, lease, waiting)
  if #redis.call('XPENDING', STREAM, GROUP, id, id, 1, consumer) == 0 then return { 'gone' } end
  local record = recordOf(dataStream)
  if record then
    if record.id == id and record.token == token then
      -- An earlier call arrived and its answer was lost.
      redis.call('SET', lease, token, 'PX', leaseMs)
      return { 'granted', record.fence }
    end
    if record.id == id then return { 'owned' } end
    return toTheList(id, dataStream, waiting)
  end
  if not entryAt(id) then
    redis.call('XACK', STREAM, GROUP, id)
    return { 'gone' }
  end
  local fence = nextFence()
  redis.call('SET', lease, token, 'PX', leaseMs)
  redis.call('HSET', OWNED, dataStream, cjson.encode({ id = id, token = token, fence = fence, consumer = consumer }))
  -- Delivery count 2: from now on this entry counts as leased; 1 means that it was read and never reached its reader.
  redis.call('XCLAIM', STREAM, GROUP, consumer, 0, id, 'RETRYCOUNT', 2, 'JUSTID')
  return { 'granted', fence }
end

for i = 0, (#ARGV - 2) / 3 - 1 do
  outcomes[i + 1] = acquire(ARGV[3 + 3 * i], ARGV[4 + 3 * i], ARGV[5 + 3 * i], KEYS[8 + 2 * i], KEYS[9 + 2 * i])
end
return outcomes
`,
);
