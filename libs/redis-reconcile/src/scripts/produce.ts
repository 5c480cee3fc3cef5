import { script } from './script.js';

/**
 * Adds a hand-off, or finds the one that was added under the same dedupe id.
 *
 * KEYS 8: dedupe key; 9: layout. ARGV 1: handoff id; 2: dedupe window in ms, 0 without dedupe; 3: '1' when replicas are waited for; 4...: the entry's fields.
 * Returns the handoff id that counts, or REPARTITIONED.
 * A script because look-up and add must be one step: two producers with one dedupe id would both find nothing.
 */
export const PRODUCE = script(
  'produce',
  `
local refused = refusal(KEYS[9])
if refused then return refused end
local window = tonumber(ARGV[2])
if window > 0 then
  local first = redis.call('GET', KEYS[8])
  if first then
    -- Whoever waits for replicas waits for the last write of its connection: there must be one, later than the entry.
    if ARGV[3] == '1' then redis.call('SET', KEYS[8], first, 'KEEPTTL') end
    return first
  end
end
redis.call('XADD', STREAM, '*', unpack(ARGV, 4))
if window > 0 then redis.call('SET', KEYS[8], ARGV[1], 'PX', window) end
return ARGV[1]
`,
);
