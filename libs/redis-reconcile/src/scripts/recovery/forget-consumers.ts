import { HANDLERS_GROUP, script } from '../script.js';

/**
 * Removes consumers that have nothing pending.
 *
 * ARGV 1: group; 2: least idle time in ms; 3: most to remove; 4: the only one that is meant, or '' for all. Returns how many were removed.
 * A script because a consumer that is deleted with entries pending takes them with it: it may have read between a look and the removal. One
 * that lives and was removed all the same is created again by its next read.
 */
export const FORGET_CONSUMERS = script(
  'forget-consumers',
  `
local key = ARGV[1] == '${HANDLERS_GROUP}' and DLQ or STREAM
local consumers = redis.pcall('XINFO', 'CONSUMERS', key, ARGV[1])
if consumers.err then return 0 end
local removed = 0
for _, consumer in ipairs(consumers) do
  local info = toMap(consumer)
  local isMeant = ARGV[4] == '' or info['name'] == ARGV[4]
  if isMeant and info['pending'] == 0 and info['idle'] >= tonumber(ARGV[2]) and removed < tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', key, ARGV[1], info['name'])
    removed = removed + 1
  end
end
return removed
`,
);
