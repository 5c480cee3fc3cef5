import { script } from '../script.js';

/**
 * Gives a hand-off back unfinished, its count as it was: the next reader gets it at once.
 *
 * KEYS 8, 9: lease, waiting list. ARGV 1: data stream; 2: token; 3: '1' when an earlier call may have arrived; 4: reason.
 * Returns 1 (handed back now), 2 (by the earlier call), 0 (lost: nothing was written).
 * A script because the entry must be added again in the step that acknowledges it.
 */
export const HAND_BACK = script(
  'hand-back',
  `
local record = recordOf(ARGV[1])
if not record or record.token ~= ARGV[2] then
  if ARGV[3] == '1' and not redis.call('ZSCORE', REVOKED, ARGV[2]) then return 2 end
  return 0
end
local next = oldestWaiting(KEYS[9])
local flat = entryAt(record.id)
if flat then
  local fields = toMap(flat)
  local changes = { owner = record.consumer, error = ARGV[4], unleased = fields.unleased and '0' or nil }
  redis.call('XADD', STREAM, '*', unpack(with(flat, provenance(record.id, fields, changes))))
end
putBack(KEYS[9], ARGV[1], next)
acknowledge(record.id)
forget(KEYS[8], ARGV[1])
return 1
`,
);
