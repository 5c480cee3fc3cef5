import { script } from '../script.js';

/**
 * Lifts guards: the owners in the old partitions are through, and the oldest hand-off that waited for each is put back.
 *
 * KEYS 8: layout; 9: guards; 10...: waiting list of each. ARGV 1: epoch; 2: a fence below which none may be handed out; then data streams.
 * Returns how many were lifted. A script because nobody may become an owner between fence and lifting.
 */
export const LIFT = script(
  'lift',
  `
local state, epoch = layoutAt(KEYS[8])
if epoch ~= tonumber(ARGV[1]) or state ~= 'open' then return 0 end
raiseFloor(ARGV[2])
local lifted = 0
for i = 3, #ARGV do
  local dataStream, waiting = ARGV[i], KEYS[7 + i]
  local record = recordOf(dataStream)
  if record and record.token == ELSEWHERE then
    putBack(waiting, dataStream, oldestWaiting(waiting))
    redis.call('HDEL', OWNED, dataStream)
    lifted = lifted + 1
  end
  redis.call('HDEL', KEYS[9], dataStream)
end
return lifted
`,
);
