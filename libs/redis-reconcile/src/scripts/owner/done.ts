import { script } from '../script.js';

/**
 * Ends a hand-off as done.
 *
 * KEYS 8, 9: lease, waiting list. ARGV 1: data stream; 2: token; 3: '1' when an earlier call may have arrived.
 * Returns 1 (done now), 2 (done by the earlier call), 0 (lost: nothing was written).
 * A script because whether the token still counts must be decided in the step that acknowledges.
 */
export const DONE = script(
  'done',
  `
local record = recordOf(ARGV[1])
if not record or record.token ~= ARGV[2] then
  if ARGV[3] == '1' and not redis.call('ZSCORE', REVOKED, ARGV[2]) then return 2 end
  return 0
end
local next = oldestWaiting(KEYS[9])
putBack(KEYS[9], ARGV[1], next)
acknowledge(record.id)
forget(KEYS[8], ARGV[1])
return 1
`,
);
