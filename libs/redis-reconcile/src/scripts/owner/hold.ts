import { script } from '../script.js';

/**
 * The owner refuses the work for now: a hold of the back-off's length takes the place of its lease.
 *
 * KEYS 8, 9: lease, waiting list. ARGV 1: data stream; 2: token; 3: hold in ms; 4: error; 5: most retries; 6: cap of the dead letters.
 * Returns ['held'], ['buried', fence, attempts] (this was the last attempt), ['lost'] (nothing was written).
 * A script because the record must change hands in the step that compares the token. The count is raised when the hold ends.
 */
export const HOLD = script(
  'hold',
  `
local record = recordOf(ARGV[1])
if not record or record.token ~= ARGV[2] then return { 'lost' } end
local flat = entryAt(record.id)
if not flat then return { 'lost' } end
local attempts = countOf(toMap(flat).count) + 1
if attempts > tonumber(ARGV[5]) then
  local next = oldestWaiting(KEYS[9])
  local extra = { reason = 'max_retries_exceeded', attempts = tostring(attempts), owner = record.consumer, error = ARGV[4] }
  local fence = bury(record.id, flat, extra, tonumber(ARGV[6]))
  putBack(KEYS[9], ARGV[1], next)
  acknowledge(record.id)
  forget(KEYS[8], ARGV[1])
  return { 'buried', fence, attempts }
end
redis.call('SET', KEYS[8], HOLD, 'PX', ARGV[3])
redis.pcall('XCLAIM', STREAM, GROUP, record.consumer, 0, record.id, 'JUSTID')
record.token, record.error = HOLD, ARGV[4]
redis.call('HSET', OWNED, ARGV[1], cjson.encode(record))
return { 'held' }
`,
);
