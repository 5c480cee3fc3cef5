import { HANDLERS_GROUP, script } from '../script.js';

/**
 * A page of what an old partition could give away: hand-offs that nobody owns, or dead letters that nobody is being told of.
 *
 * ARGV 1: 'handoffs' or 'dead'; 2: exclusive id to go on from, or '-'; 3: most entries; 4: about most bytes; 5: for dead letters the idle time, in
 * ms, after which whoever was being told is gone.
 * Returns [the id to go on from, '' at the end; a fence as high as all handed out here; how many must stay; then id and fields of each].
 * A script because whether an entry is owned and which fences its owners had must be seen at one moment. It stays true: in a partition that is
 * sealed nothing becomes owned. It writes nothing.
 */
export const MOVABLE = script(
  'movable',
  `
local isDead = ARGV[1] == 'dead'
local key = isDead and DLQ or STREAM
local from = ARGV[2] == '-' and '-' or '(' .. ARGV[2]
local told = isDead and lastDelivered(DLQ, '${HANDLERS_GROUP}') or nil

-- Whether a letter may go, and whether a handler has had it.
local function isFree(id)
  if not told then return true, false end
  local pending = redis.call('XPENDING', DLQ, '${HANDLERS_GROUP}', id, id, 1)[1]
  if pending then return pending[3] >= tonumber(ARGV[5]), false end
  return true, not isBefore(told, id)
end

local movable, stay, bytes, last = {}, 0, 0, ''
local page = redis.call('XRANGE', key, from, '+', 'COUNT', ARGV[3])
local isEnd = #page < tonumber(ARGV[3])
for _, entry in ipairs(page) do
  local id, flat = entry[1], entry[2]
  if bytes > tonumber(ARGV[4]) then
    isEnd = false
    break
  end
  last = id
  for i = 1, #flat do bytes = bytes + #flat[i] end
  local fields = toMap(flat)
  if isDead then
    local goes, isTold = isFree(id)
    if goes then movable[#movable + 1] = { id, with(flat, { id = fields.id or id, told = isTold and '1' or nil }) } else stay = stay + 1 end
  else
    local record = fields.stream and recordOf(fields.stream)
    if record and record.id == id then stay = stay + 1 else movable[#movable + 1] = { id, with(flat, provenance(id, fields, {})) } end
  end
end
return { isEnd and '' or last, redis.call('GET', FENCE) or '0', stay, unpack(movable) }
`,
);
