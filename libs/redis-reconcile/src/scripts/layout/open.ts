import { script } from '../script.js';

/**
 * Opens a new partition: from now on it takes hand-offs, and gives them to owners.
 *
 * KEYS 8: layout. ARGV 1: epoch; 2: a fence below which none may be handed out. Returns 1 when it is open for this change, else 0.
 * A script because the fence must be there before the first owner.
 */
export const OPEN = script(
  'open',
  `
local state, epoch, count = layoutAt(KEYS[8])
if epoch ~= tonumber(ARGV[1]) then return 0 end
if state == 'open' then return 1 end
if state ~= 'closed' then return 0 end
raiseFloor(ARGV[2])
redis.call('SET', KEYS[8], 'open:' .. ARGV[1] .. ':' .. count)
return 1
`,
);
