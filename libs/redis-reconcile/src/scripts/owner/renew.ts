import { script } from '../script.js';

/**
 * Renews up to 500 leases.
 *
 * KEYS 8...: lease of each. ARGV 1: lease in ms; then data stream and token of each.
 * Returns for each 1 (renewed), 0 (the record no longer carries the token: lost), 2 (still the owner on record, but the lease had lapsed; it
 * is not taken again, since a scan may be acting on it).
 * A script because the token must be compared in the same step as the renewal, and a call a lease would be 3 000 a second at 10 000.
 */
export const RENEW = script(
  'renew',
  `
local leaseMs = ARGV[1]
local outcomes, mine = {}, {}
for i = 0, (#ARGV - 1) / 2 - 1 do
  local record = recordOf(ARGV[2 + 2 * i])
  if not record or record.token ~= ARGV[3 + 2 * i] then
    outcomes[i + 1] = 0
  elseif redis.call('PEXPIRE', KEYS[8 + i], leaseMs) == 0 then
    outcomes[i + 1] = 2
  else
    -- Keeps the pending entry fresh and with its owner, so that scans see only what nobody renews.
    local ids = mine[record.consumer] or {}
    ids[#ids + 1] = record.id
    mine[record.consumer] = ids
    outcomes[i + 1] = 1
  end
end
for consumer, ids in pairs(mine) do
  ids[#ids + 1] = 'JUSTID'
  -- Without the group there is nothing to keep fresh; the leases are renewed all the same.
  redis.pcall('XCLAIM', STREAM, GROUP, consumer, 0, unpack(ids))
end
return outcomes
`,
);
