import { script } from '../script.js';

/**
 * Removes the keys of an old partition in which nothing is left. The seal stays, for those who still run with the old number.
 *
 * KEYS 8: layout. ARGV 1: epoch. Returns [entries, owned, waiting, dead]: all 0 when it is empty.
 * A script because something may be added by hand between the look and the removal.
 */
export const VACATE = script(
  'vacate',
  `
local state, epoch = layoutAt(KEYS[8])
local left = { redis.call('XLEN', STREAM), redis.call('HLEN', OWNED), redis.call('HLEN', WAITING), redis.call('XLEN', DLQ) }
if left[1] + left[2] + left[3] + left[4] > 0 or state ~= 'sealed' or epoch ~= tonumber(ARGV[1]) then return left end
redis.call('DEL', STREAM, OWNED, DLQ, DEAD, WAITING)
-- Guards that are lifted last ask for the fence; owners of the past may ask what became of their last word.
redis.call('EXPIRE', FENCE, 86400)
redis.call('EXPIRE', REVOKED, 3600)
return left
`,
);
