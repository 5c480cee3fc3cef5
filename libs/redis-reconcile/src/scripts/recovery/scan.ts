import { script } from '../script.js';

/**
 * One page of the entries that nobody has touched for a while.
 *
 * ARGV 1: least idle time in ms; 2: exclusive id to go on from, or '-'; 3: most entries; 4: a consumer's name, or '' for all.
 * Returns for each [id, number of fields, value of its field stream]; an entry that is gone has 0 fields.
 * A script only to save a call an entry; it writes nothing, and whatever it finds is checked again by the script that acts.
 */
export const SCAN = script(
  'scan',
  `
local from = ARGV[2]
if from ~= '-' then from = '(' .. from end
local found
if ARGV[4] == '' then
  found = redis.call('XPENDING', STREAM, GROUP, 'IDLE', ARGV[1], from, '+', ARGV[3])
else
  found = redis.call('XPENDING', STREAM, GROUP, 'IDLE', ARGV[1], from, '+', ARGV[3], ARGV[4])
end
if #found == 0 then return found end
local entries = entriesOf(found[1][1], found[#found][1], #found)
local page = {}
for i, pending in ipairs(found) do
  local flat = entries[pending[1]] or entryAt(pending[1]) or {}
  page[i] = { pending[1], #flat / 2, toMap(flat).stream or '' }
end
return page
`,
);
