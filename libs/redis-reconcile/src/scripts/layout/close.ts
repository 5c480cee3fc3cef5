import { script } from '../script.js';

/**
 * Shuts a partition: nothing is added to it any more, and nothing in it becomes owned; what is owned goes on.
 *
 * KEYS 8: layout. ARGV 1: 'sealed' (of the old ones) or 'closed' (of the new ones, until they open); 2: epoch; 3: the number of partitions to be.
 * Returns 1 when it was shut now, 2 when it was before, 0 when a later change has been here, or, of a new one, this change has opened it.
 * A script because a caller who stood still must not shut what was opened since.
 */
export const CLOSE = script(
  'close',
  `
local state, epoch = layoutAt(KEYS[8])
local mine = tonumber(ARGV[2])
if epoch > mine then return 0 end
if epoch == mine and state == 'open' then return 0 end
if epoch == mine and state == ARGV[1] then return 2 end
redis.call('SET', KEYS[8], ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3])
return 1
`,
);
