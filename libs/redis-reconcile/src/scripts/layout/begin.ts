import { script } from '../script.js';

/**
 * Begins to change the number of partitions, or finds what was begun.
 *
 * KEYS 1: what is stored of the instance. ARGV 1: the number wanted.
 * Returns [what is under way: 'preparing', 'draining', 'settled', 'never'; from; to; epoch; '1' when it is another change than the one wanted].
 * A script because two callers who want different numbers must not both begin: one is told of the other.
 */
export const BEGIN = script(
  'begin-layout',
  `
local META = KEYS[1]
local stored = redis.call('HMGET', META, 'partitions', 'layout', 'from', 'to', 'epoch')
local count, layout, from, to, epoch = stored[1], stored[2] or 'never', stored[3] or '', stored[4], stored[5] or '0'
if layout == 'preparing' then return { layout, count, to, epoch, to == ARGV[1] and '0' or '1' } end
if count == ARGV[1] then return { layout, from, count, epoch, '0' } end
if layout == 'draining' then return { layout, from, count, epoch, '1' } end
epoch = string.format('%.0f', tonumber(epoch) + 1)
redis.call('HSET', META, 'to', ARGV[1], 'epoch', epoch, 'layout', 'preparing')
return { 'preparing', count, ARGV[1], epoch, '0' }
`,
);
