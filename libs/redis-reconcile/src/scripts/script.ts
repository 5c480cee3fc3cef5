import { createHash } from 'node:crypto';

/** One Lua script: what it is called in logs, its text, and the hash by which the server knows it. */
export interface Script {
  readonly name: string;
  readonly text: string;
  readonly sha: string;
}

/**
 * A script with the words that all of them share.
 *
 * KEYS 1 to 7 are the same everywhere and named here; a script's own follow from 8. All keys of a call have one hash tag, so each script
 * touches one slot. A script checks first, then adds, then deletes and acknowledges, the owned record last: scripts do not roll
 * back, and an error on the way may duplicate a hand-off but never loses one.
 */
export function script(name: string, body: string): Script {
  const text = `${SHARED}\n${body.trim()}\n`;
  return { name, text, sha: createHash('sha1').update(text).digest('hex') };
}

/** Of the hand-offs' stream: who owns what. */
export const OWNERS_GROUP = 'owners';
/** Of the dead letters' stream: who was told. */
export const HANDLERS_GROUP = 'handlers';
/** The token of a record whose owner refused the work for now. */
export const HOLD_TOKEN = 'hold';
/** The token of a record that says: its owner is in another partition, from before the number of partitions was changed. */
export const ELSEWHERE_TOKEN = 'elsewhere';

const SHARED = `
local STREAM, OWNED, FENCE, DLQ, DEAD, WAITING, REVOKED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local GROUP, HOLD, ELSEWHERE = '${OWNERS_GROUP}', '${HOLD_TOKEN}', '${ELSEWHERE_TOKEN}'

local function nowMs()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Above everything handed out before, also when the counter was lost with a flush: the server's clock is its floor.
local function nextFences(count)
  local t = redis.call('TIME')
  local last = tonumber(redis.call('GET', FENCE) or '0') or 0
  local first = math.max(last + 1, t[1] * 1000000 + t[2])
  local fences = {}
  for n = 1, count do fences[n] = string.format('%.0f', first + n - 1) end
  redis.call('SET', FENCE, fences[count])
  return fences
end

-- What the function returns, or its error as a reply: in a call for many, one that fails must not keep the others from their end.
local function attempt(act, ...)
  local isDone, answer = pcall(act, ...)
  if isDone then return answer end
  return redis.error_reply(type(answer) == 'table' and answer.err or tostring(answer))
end

-- What a partition is in a change of their number: 'open', 'closed' or 'sealed', since which change, and the number then. Where none ever was, open.
local function layoutAt(key)
  local state, epoch, count = string.match(redis.call('GET', key) or 'open:0:0', '^(%a+):(%d+):(%d+)$')
  return state, tonumber(epoch), count
end

-- The answer to whoever would add or own here with a number of partitions that does not count any more, or not yet; nil when it does.
local function refusal(key)
  local text = redis.call('GET', key)
  if not text or string.sub(text, 1, 5) == 'open:' then return nil end
  return redis.error_reply('REPARTITIONED ' .. text)
end

-- Fences of another partition were as high: all that are handed out here from now on are higher.
local function raiseFloor(fence)
  if (tonumber(redis.call('GET', FENCE) or '0') or 0) < tonumber(fence) then redis.call('SET', FENCE, fence) end
end

local function recordOf(dataStream)
  local text = redis.call('HGET', OWNED, dataStream)
  if text then return cjson.decode(text) end
  return nil
end

-- Whether a record, as it is stored, carries the token: a quote within any of its values would be escaped.
local function carries(record, token)
  return record and string.find(record, '"token":"' .. token .. '"', 1, true) ~= nil
end

-- The flat field list of an entry, or nil when the entry is gone.
local function entryAt(id)
  local found = redis.call('XRANGE', STREAM, id, id)
  if #found == 0 then return nil end
  return found[1][2]
end

-- Field lists of the entries between two ids, by id. Not all of them where others lie in between: those are asked for one by one.
local function entriesOf(first, last, count)
  local page, entries = redis.pcall('XRANGE', STREAM, first, last, 'COUNT', count), {}
  if not page.err then
    for _, entry in ipairs(page) do entries[entry[1]] = entry[2] end
  end
  return entries
end

-- Whether a lease is there, for each of the leases: with one question for all where the answer is the same for all.
local function aliveOf(leases)
  local alive = redis.call('EXISTS', unpack(leases))
  return function(i)
    if alive == 0 or alive == #leases then return alive > 0 end
    return redis.call('EXISTS', leases[i]) == 1
  end
end

local function toMap(flat)
  local map = {}
  for i = 1, #flat, 2 do
    if map[flat[i]] == nil then map[flat[i]] = flat[i + 1] end
  end
  return map
end

-- An absent, negative or unreadable count is 0.
local function countOf(text)
  if text and #text < 10 and string.match(text, '^%d+$') then return tonumber(text) end
  return 0
end

-- A copy of the field list with some fields set; every other byte stays as it was. Cut where unpack() would fail.
local function with(flat, changes)
  local out, seen = {}, {}
  for i = 1, math.min(#flat, 1000), 2 do
    out[#out + 1] = flat[i]
    if changes[flat[i]] ~= nil then
      out[#out + 1] = changes[flat[i]]
      seen[flat[i]] = true
    else
      out[#out + 1] = flat[i + 1]
    end
  end
  for field, value in pairs(changes) do
    if not seen[field] then
      out[#out + 1] = field
      out[#out + 1] = value
    end
  end
  return out
end

-- What an entry keeps for life: the id that its producer knows, and when it was first seen.
local function provenance(id, fields, changes)
  changes.id = (fields.id and #fields.id > 0 and #fields.id <= 128) and fields.id or id
  changes.at = fields.at or string.match(id, '^%d+')
  return changes
end

-- The oldest hand-off that waits for this data stream, ready to be added; read before anything is written.
local function oldestWaiting(waiting)
  local packed = redis.call('LINDEX', waiting, 0)
  if packed then return cmsgpack.unpack(packed) end
  return nil
end

-- Adds it behind whatever was added before, and only then takes it from the list.
local function putBack(waiting, dataStream, fields)
  if not fields then return end
  redis.call('XADD', STREAM, '*', unpack(fields))
  redis.call('LPOP', waiting)
  if redis.call('HINCRBY', WAITING, dataStream, -1) <= 0 then redis.call('HDEL', WAITING, dataStream) end
end

-- Deleted first: what is pending and gone is cleaned up by a scan; what is acknowledged and still there nobody would ever find.
local function acknowledge(id)
  redis.call('XDEL', STREAM, id)
  redis.call('XACK', STREAM, GROUP, id)
end

local function forget(lease, dataStream)
  redis.call('DEL', lease)
  redis.call('HDEL', OWNED, dataStream)
end

local function isBefore(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if ams ~= bms then return tonumber(ams) < tonumber(bms) end
  return tonumber(aseq) < tonumber(bseq)
end

-- The last id that somebody of the group was given; nil where there is no such group, or no stream.
local function lastDelivered(key, group)
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  if groups.err then return nil end
  for _, one in ipairs(groups) do
    local info = toMap(one)
    if info['name'] == group then return info['last-delivered-id'] end
  end
end

-- Removes a few of the oldest above the cap, but none that a handler was not told of or has not acknowledged.
local function trimDead(cap)
  local excess = redis.call('XLEN', DLQ) - cap
  if cap == 0 or excess <= 0 then return end
  local groups = redis.call('XINFO', 'GROUPS', DLQ)
  local told, pending
  for _, group in ipairs(groups) do
    local info = toMap(group)
    told = info['last-delivered-id']
    pending = redis.call('XPENDING', DLQ, info['name'])[2]
  end
  for _, entry in ipairs(redis.call('XRANGE', DLQ, '-', '+', 'COUNT', math.min(excess, 20))) do
    if told and (isBefore(told, entry[1]) or (pending and not isBefore(entry[1], pending))) then return end
    local fields = toMap(entry[2])
    redis.call('XDEL', DLQ, entry[1])
    if fields.id then redis.call('HDEL', DEAD, fields.id) end
  end
end

-- Adds to the dead letters, with a fence above that of every owner. Acknowledging the entry is left to the caller.
local function bury(id, flat, extra, cap)
  local fields = toMap(flat)
  local fence = nextFences(1)[1]
  extra.fence, extra.dead, extra.entry = fence, string.format('%.0f', nowMs()), id
  local dead = redis.call('XADD', DLQ, '*', unpack(with(flat, provenance(id, fields, extra))))
  redis.call('HSET', DEAD, extra.id, dead)
  trimDead(cap)
  return fence
end
`.trim();
