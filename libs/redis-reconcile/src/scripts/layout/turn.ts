import { script } from '../script.js';

/**
 * The next step of a change of the number of partitions: 'draining', the new number counts from now on; 'settled', nothing is left under the old.
 *
 * KEYS 1: what is stored of the instance. ARGV 1: the step; 2: epoch. Returns 1 when it was done now, 0 when it is of the past.
 * A script because a caller who stood still must not turn back what others have done since.
 */
export const TURN = script(
  'turn-layout',
  `
local META = KEYS[1]
local stored = redis.call('HMGET', META, 'partitions', 'layout', 'to', 'epoch')
local before = ARGV[1] == 'draining' and 'preparing' or 'draining'
if stored[4] ~= ARGV[2] or stored[2] ~= before then return 0 end
if ARGV[1] == 'draining' then
  redis.call('HSET', META, 'partitions', stored[3], 'from', stored[1], 'layout', 'draining', 'since', string.format('%.0f', nowMs()))
  redis.call('HDEL', META, 'to')
else
  redis.call('HSET', META, 'layout', 'settled')
end
return 1
`,
);
