import { script } from '../script.js';

/**
 * Ends hand-offs as done.
 *
 * KEYS 8...: lease and waiting list of each. ARGV: data stream, entry id, token of each, and '1' when an earlier call may have arrived.
 * Returns for each 1 (done now), 2 (done by the earlier call), 0 (lost: nothing was written), or the error that kept it from its end, which
 * leaves it as it was.
 * A script because whether the token still counts must be decided in the step that acknowledges. One for many, and in it one command for
 * all where there is such a command: most of its time goes into calls. Each hand-off is decided by itself.
 */
export const DONE = script(
  'done',
  `
local count = #ARGV / 4
local dataStreams, outcomes = {}, {}
for i = 1, count do dataStreams[i] = ARGV[4 * i - 3] end
local records = redis.call('HMGET', OWNED, unpack(dataStreams))
local waiting = redis.call('HMGET', WAITING, unpack(dataStreams))

local function next(list, dataStream)
  putBack(list, dataStream, oldestWaiting(list))
  return 1
end

local ids, leases, ended = {}, {}, {}
for i = 1, count do
  local token = ARGV[4 * i - 1]
  if carries(records[i], token) then
    outcomes[i] = waiting[i] and attempt(next, KEYS[7 + 2 * i], dataStreams[i]) or 1
    if outcomes[i] == 1 then
      ids[#ids + 1], leases[#leases + 1], ended[#ended + 1] = ARGV[4 * i - 2], KEYS[6 + 2 * i], dataStreams[i]
    end
  elseif ARGV[4 * i] == '1' and not redis.call('ZSCORE', REVOKED, token) then
    outcomes[i] = 2
  else
    outcomes[i] = 0
  end
end
if #ids > 0 then
  redis.call('XDEL', STREAM, unpack(ids))
  redis.call('XACK', STREAM, GROUP, unpack(ids))
  redis.call('DEL', unpack(leases))
  redis.call('HDEL', OWNED, unpack(ended))
end
return outcomes
`,
);
