import { script } from '../script.js';

/**
 * Adds to a new partition what comes from an old one, once.
 *
 * KEYS 8: layout; 9: what has arrived. ARGV 1: epoch; 2: a fence below which none may be handed out; 3: 'handoffs' or 'dead'; then of each where it
 * comes from, the number of its fields and values together, and these.
 * Returns how many were added; -1 when the partition does not take part in this change (any more).
 * A script because look-up and add must be one step: what is added here is removed there by another call, and whoever died in between, or moves the
 * same, comes again. Added first and noted then, so that an error duplicates and never loses.
 */
export const ARRIVE = script(
  'arrive',
  `
local state, epoch = layoutAt(KEYS[8])
if state ~= 'open' or epoch ~= tonumber(ARGV[1]) then return -1 end
raiseFloor(ARGV[2])
local added, i = 0, 4
while i < #ARGV do
  local origin, count = ARGV[i], tonumber(ARGV[i + 1])
  if redis.call('HEXISTS', KEYS[9], origin) == 0 then
    local flat = {}
    for n = 1, count do flat[n] = ARGV[i + 1 + n] end
    local id = redis.call('XADD', ARGV[3] == 'dead' and DLQ or STREAM, '*', unpack(flat))
    if ARGV[3] == 'dead' then redis.call('HSET', DEAD, toMap(flat).id, id) end
    redis.call('HSET', KEYS[9], origin, 1)
    added = added + 1
  end
  i = i + 2 + count
end
-- Whoever comes again later than a day hands it off a second time, one after the other.
redis.call('EXPIRE', KEYS[9], 86400)
return added
`,
);
