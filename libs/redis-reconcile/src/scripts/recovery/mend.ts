import { script } from '../script.js';

/**
 * Frees data streams that a deleted entry would block for ever: the scan walks pending entries, and these have none.
 *
 * KEYS 8...: lease and waiting list of each. ARGV: data streams, each once.
 * Returns how many were freed: a record whose lease is gone and whose entry is neither in the stream nor pending, or waiters whose data
 * stream has no owner.
 * A script because an owner may appear between the look and the removal.
 */
export const MEND = script(
  'mend',
  `
local freed, leases = 0, {}
for i = 1, #ARGV do leases[i] = KEYS[6 + 2 * i] end
local records, isAlive = redis.call('HMGET', OWNED, unpack(ARGV)), aliveOf(leases)
for i, dataStream in ipairs(ARGV) do
  local lease, waiting = KEYS[6 + 2 * i], KEYS[7 + 2 * i]
  local record = records[i] and not isAlive(i) and cjson.decode(records[i])
  if record and record.token ~= ELSEWHERE and not entryAt(record.id) then
    local next = oldestWaiting(waiting)
    putBack(waiting, dataStream, next)
    redis.call('XACK', STREAM, GROUP, record.id)
    forget(lease, dataStream)
    freed = freed + 1
  elseif not records[i] then
    local next = oldestWaiting(waiting)
    if next then
      putBack(waiting, dataStream, next)
      freed = freed + 1
    else
      redis.call('HDEL', WAITING, dataStream)
    end
  end
end
return freed
`,
);
