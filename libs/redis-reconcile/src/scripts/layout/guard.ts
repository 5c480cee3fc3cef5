import { script } from '../script.js';

/**
 * Says in a new partition that data streams have an owner in an old one, so that hand-offs of them wait until that one is through.
 *
 * KEYS 8: layout; 9: guards. ARGV 1: epoch; then data stream and old partition of each.
 * Returns 1, or 0 when the partition is open by now: then all that needs a guard has one.
 * A script because a guard that comes after the partition opened could be set beside an owner.
 */
export const GUARD = script(
  'guard',
  `
local state, epoch = layoutAt(KEYS[8])
if epoch ~= tonumber(ARGV[1]) or state ~= 'closed' then return 0 end
for i = 2, #ARGV, 2 do
  -- Listed first: a guard that nobody knows of would never be lifted.
  redis.call('HSET', KEYS[9], ARGV[i], ARGV[i + 1])
  redis.call('HSETNX', OWNED, ARGV[i], cjson.encode({ id = '0-0', token = ELSEWHERE, fence = '0', consumer = ARGV[i + 1] }))
end
return 1
`,
);
