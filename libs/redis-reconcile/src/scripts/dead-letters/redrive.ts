import { HANDLERS_GROUP, script } from '../script.js';

/**
 * Hands dead letters off again.
 *
 * KEYS 8: layout. ARGV: ids of their entries.
 * Returns for each ['redriven', handoff id, data stream], ['unreadable', reason] (nobody could own it), or ['gone'] (somebody was faster); for all of them
 * REPARTITIONED.
 * A script because it must be added in the step that takes it from the dead letters: of two calls one redrives, and a crash in between neither
 * loses nor doubles it.
 */
export const REDRIVE = script(
  'redrive',
  `
local refused = refusal(KEYS[8])
if refused then return refused end
local SAID_OF_THE_DEAD = { reason = true, attempts = true, fence = true, dead = true, entry = true, told = true }

local function redrive(id)
  local found = redis.call('XRANGE', DLQ, id, id)[1]
  if not found then return { 'gone' } end
  local fields = toMap(found[2])
  if fields.poison == '1' or not fields.stream then return { 'unreadable', fields.reason or 'no data stream' } end
  local flat = with(found[2], { count = '0', unleased = fields.unleased and '0' or nil })
  local out = {}
  for i = 1, #flat, 2 do
    if not SAID_OF_THE_DEAD[flat[i]] then
      out[#out + 1] = flat[i]
      out[#out + 1] = flat[i + 1]
    end
  end
  redis.call('XADD', STREAM, '*', unpack(out))
  redis.call('XACK', DLQ, '${HANDLERS_GROUP}', id)
  redis.call('XDEL', DLQ, id)
  if fields.id and redis.call('HGET', DEAD, fields.id) == id then redis.call('HDEL', DEAD, fields.id) end
  return { 'redriven', fields.id or id, fields.stream }
end

local outcomes = {}
for i, id in ipairs(ARGV) do outcomes[i] = attempt(redrive, id) end
return outcomes
`,
);
