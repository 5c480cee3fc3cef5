import { HANDLERS_GROUP, script } from '../script.js';

/**
 * Forgets dead letters.
 *
 * KEYS 8: layout. ARGV 1: '1' for those too that a handler was not told of, or has not acknowledged; then ids of entries.
 * Returns for each ['purged', handoff id, data stream], ['untold'] (kept), or ['gone'].
 * A script because a handler may be told between the look and the removal, and because the index goes with the entry.
 */
export const PURGE = script(
  'purge',
  `
local refused = refusal(KEYS[8])
if refused then return refused end
local told = lastDelivered(DLQ, '${HANDLERS_GROUP}')

local function isTold(id, fields)
  if not told or fields.poison == '1' or fields.told == '1' then return true end
  if isBefore(told, id) then return false end
  return #redis.call('XPENDING', DLQ, '${HANDLERS_GROUP}', id, id, 1) == 0
end

local function purge(id)
  local found = redis.call('XRANGE', DLQ, id, id)[1]
  if not found then return { 'gone' } end
  local fields = toMap(found[2])
  if ARGV[1] ~= '1' and not isTold(id, fields) then return { 'untold' } end
  redis.call('XACK', DLQ, '${HANDLERS_GROUP}', id)
  redis.call('XDEL', DLQ, id)
  if fields.id and redis.call('HGET', DEAD, fields.id) == id then redis.call('HDEL', DEAD, fields.id) end
  return { 'purged', fields.id or id, fields.poison ~= '1' and fields.stream or '' }
end

local outcomes = {}
for i = 2, #ARGV do outcomes[i - 1] = attempt(purge, ARGV[i]) end
return outcomes
`,
);
