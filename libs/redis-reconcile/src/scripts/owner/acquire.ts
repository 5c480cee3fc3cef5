import { script } from '../script.js';

/**
 * Takes ownership of entries that were just read, oldest first.
 *
 * KEYS 8...: lease and waiting list of each; the last: layout. ARGV 1: consumer; 2: lease in ms; then entry id, data stream and token of each.
 * Returns for each its fence when it is granted, else 'gone' (no longer pending for this consumer), 'owned' (read again although its owner
 * lives), 'waiting' (another hand-off of this data stream has an owner; this one now waits in the list), or the error that kept it from the list; for
 * all of them REPARTITIONED: they stay as they were read.
 * A script because between reading and leasing a scan may have given the entry to somebody else, and two entries of one data stream may be
 * read by two processes at once. One for all of a read, and in it one command for all where there is such a command: most of its time goes
 * into calls. Each entry is decided by itself.
 */
export const ACQUIRE = script(
  'acquire',
  `
local refused = refusal(KEYS[#KEYS])
if refused then return refused end
local consumer, leaseMs = ARGV[1], ARGV[2]
local count = (#ARGV - 2) / 3
local ids, dataStreams, tokens, outcomes = {}, {}, {}, {}
for i = 1, count do ids[i], dataStreams[i], tokens[i] = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2] end

-- A page that is full may end before the last of them: those are asked for one by one.
local limit, pending = count + 100, {}
local page = redis.call('XPENDING', STREAM, GROUP, ids[1], ids[count], limit, consumer)
for _, entry in ipairs(page) do pending[entry[1]] = true end
local function isPending(id)
  if pending[id] or #page < limit then return pending[id] end
  return #redis.call('XPENDING', STREAM, GROUP, id, id, 1, consumer) > 0
end

local function toTheList(id, dataStream, waiting)
  local flat = entryAt(id)
  if not flat then
    redis.call('XACK', STREAM, GROUP, id)
    return 'gone'
  end
  -- Counted first: a number too high is mended, a list that nobody knows of is not.
  redis.call('HINCRBY', WAITING, dataStream, 1)
  redis.call('RPUSH', waiting, cmsgpack.pack(with(flat, provenance(id, toMap(flat), {}))))
  acknowledge(id)
  return 'waiting'
end

local records = redis.call('HMGET', OWNED, unpack(dataStreams))
local granted, taken = {}, {}
for i = 1, count do
  local id, dataStream, lease = ids[i], dataStreams[i], KEYS[6 + 2 * i]
  if not isPending(id) then
    outcomes[i] = 'gone'
  elseif records[i] then
    local record = cjson.decode(records[i])
    if record.id == id and record.token == tokens[i] then
      -- An earlier call arrived and its answer was lost.
      redis.call('SET', lease, record.token, 'PX', leaseMs)
      outcomes[i] = record.fence
    elseif record.id == id then
      outcomes[i] = 'owned'
    else
      outcomes[i] = attempt(toTheList, id, dataStream, KEYS[7 + 2 * i])
    end
  elseif taken[dataStream] then
    outcomes[i] = attempt(toTheList, id, dataStream, KEYS[7 + 2 * i])
  else
    taken[dataStream] = true
    granted[#granted + 1] = i
  end
end
if #granted == 0 then return outcomes end

local fences = nextFences(#granted)
local owner = cjson.encode(consumer) .. '}'
local owned, claimed = {}, {}
for n, i in ipairs(granted) do
  redis.call('SET', KEYS[6 + 2 * i], tokens[i], 'PX', leaseMs)
  owned[2 * n - 1] = dataStreams[i]
  owned[2 * n] = '{"id":"' .. ids[i] .. '","token":"' .. tokens[i] .. '","fence":"' .. fences[n] .. '","consumer":' .. owner
  claimed[n] = ids[i]
  outcomes[i] = fences[n]
end
redis.call('HSET', OWNED, unpack(owned))
-- Delivery count 2: from now on these entries count as leased; 1 means that one was read and never reached its reader.
claimed[#claimed + 1], claimed[#claimed + 2], claimed[#claimed + 3] = 'RETRYCOUNT', 2, 'JUSTID'
local found = redis.call('XCLAIM', STREAM, GROUP, consumer, 0, unpack(claimed))
if #found == #granted then return outcomes end

-- Entries that were deleted after they had been read are claimed by nobody, and gone from the pending ones.
local exists = {}
for _, id in ipairs(found) do exists[id] = true end
for _, i in ipairs(granted) do
  if not exists[ids[i]] then
    attempt(putBack, KEYS[7 + 2 * i], dataStreams[i], oldestWaiting(KEYS[7 + 2 * i]))
    redis.call('XACK', STREAM, GROUP, ids[i])
    forget(KEYS[6 + 2 * i], dataStreams[i])
    outcomes[i] = 'gone'
  end
end
return outcomes
`,
);
