import { script } from '../script.js';

/**
 * Makes entries pending again that were delivered and are neither pending nor removed: somebody deleted their consumer, or the group began
 * behind them. No read and no scan would ever meet them.
 *
 * ARGV 1: exclusive id to go on from, or '-'; 2: most entries to look at. Returns the id to go on from, '' at the end.
 * A script because an entry that is read or removed between look and claim is none of these. What becomes of them is decided by the scan,
 * after its idle time: nothing is trimmed, since nobody can tell whether they were finished.
 */
export const STRAYS = script(
  'strays',
  `
local last
-- Where the number of partitions changes, the stream of an old one goes when it is empty.
if redis.call('EXISTS', STREAM) == 0 then return '' end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', STREAM)) do
  local info = toMap(group)
  if info['name'] == GROUP then last = info['last-delivered-id'] end
end
if not last then return '' end
local from = ARGV[1] == '-' and '-' or '(' .. ARGV[1]
local page = redis.call('XRANGE', STREAM, from, last, 'COUNT', ARGV[2])
for _, entry in ipairs(page) do
  local id = entry[1]
  if #redis.call('XPENDING', STREAM, GROUP, id, id, 1) == 0 then
    local name = toMap(entry[2]).stream
    local record = name and recordOf(name)
    local consumer = record and record.id == id and record.consumer or 'strays'
    -- Delivery count 1: unless a record says so, nobody knows that it was ever leased.
    redis.call('XCLAIM', STREAM, GROUP, consumer, 0, id, 'RETRYCOUNT', 1, 'FORCE', 'JUSTID')
  end
end
if #page < tonumber(ARGV[2]) then return '' end
return page[#page][1]
`,
);
