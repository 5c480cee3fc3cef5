import { script } from '../script.js';

/**
 * Counts hand-offs on hold among some of the records.
 *
 * ARGV 1: cursor, '0' at first; 2: about how many to look at. Returns [next cursor, '0' at the end; how many are on hold].
 * A script so that records stay where they are; in steps, since there may be very many.
 */
export const HELD = script(
  'held',
  `
local page = redis.call('HSCAN', OWNED, ARGV[1], 'COUNT', ARGV[2])
local held = 0
for i = 2, #page[2], 2 do
  if carries(page[2][i], HOLD) then held = held + 1 end
end
return { page[1], held }
`,
);
