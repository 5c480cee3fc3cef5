import { script } from '../script.js';

/**
 * One consistent look at a partition.
 *
 * No ARGV. Returns [entries in the stream, pending, waiting, dead, age of the oldest entry in ms].
 * A script so that the sum adds up: separate calls would count an entry twice, or not at all, while it moves. What is on hold is pending as
 * well and counted by another: this one must not look at every record.
 */
export const STATS = script(
  'stats',
  `
local function sizeOrZero(reply)
  if type(reply) == 'table' and reply.err then return 0 end
  return reply
end
local summary = redis.pcall('XPENDING', STREAM, GROUP)
local pending = (type(summary) == 'table' and not summary.err) and summary[1] or 0
local waiting, age = 0, 0
for _, count in ipairs(redis.call('HVALS', WAITING)) do waiting = waiting + tonumber(count) end
local first = redis.call('XRANGE', STREAM, '-', '+', 'COUNT', 1)[1]
if first then age = math.max(0, nowMs() - tonumber(string.match(first[1], '^%d+'))) end
return { redis.call('XLEN', STREAM), pending, waiting, sizeOrZero(redis.pcall('XLEN', DLQ)), age }
`,
);
