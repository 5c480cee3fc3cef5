import { script } from '../script.js';

/**
 * Raises an owner's fence above one that the resource has seen.
 *
 * ARGV 1: data stream; 2: token, or '' for a dead letter; 3: the fence seen; 4: the fence held.
 * Returns the new fence, or false when the record no longer carries the token.
 * A script because an owner of the past must not raise the fence of its successor.
 */
export const RAISE_FENCE = script(
  'raise-fence',
  `
local record
if ARGV[2] ~= '' then
  record = recordOf(ARGV[1])
  if not record or record.token ~= ARGV[2] then return false end
end
local fence = math.max(tonumber(ARGV[4]), tonumber(ARGV[3]) + 1)
local last = tonumber(redis.call('GET', FENCE) or '0') or 0
local text = string.format('%.0f', fence)
if fence > last then redis.call('SET', FENCE, text) end
if record then
  record.fence = text
  redis.call('HSET', OWNED, ARGV[1], cjson.encode(record))
end
return text
`,
);
