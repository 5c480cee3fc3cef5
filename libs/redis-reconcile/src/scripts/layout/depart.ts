import { HANDLERS_GROUP, script } from '../script.js';

/**
 * Removes from an old partition what has arrived in a new one.
 *
 * ARGV 1: 'handoffs' or 'dead'; then ids of entries. Returns how many were removed.
 * A script because what somebody owns must stay: the seal may have been lost in a failover.
 */
export const DEPART = script(
  'depart',
  `
local removed = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if ARGV[1] == 'dead' then
    local found = redis.call('XRANGE', DLQ, id, id)[1]
    redis.call('XACK', DLQ, '${HANDLERS_GROUP}', id)
    if found then
      removed = removed + redis.call('XDEL', DLQ, id)
      local name = toMap(found[2]).id or id
      if redis.call('HGET', DEAD, name) == id then redis.call('HDEL', DEAD, name) end
    end
  else
    local flat = entryAt(id)
    local name = flat and toMap(flat).stream
    local record = name and recordOf(name)
    if flat and not (record and record.id == id) then
      acknowledge(id)
      removed = removed + 1
    end
  end
end
return removed
`,
);
