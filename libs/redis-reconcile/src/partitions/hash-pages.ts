import type { RedisLink } from '../connecting/redis-link.js';

/** Fields that one step returns, about. */
const STEP = 200;

/** A walk over a hash: every field that is there when it begins and when it ends, with its value; some may come twice. Never an empty page. */
export async function* hashPages(
  link: RedisLink,
  key: string,
): AsyncGenerator<readonly (readonly [name: string, value: string])[]> {
  let cursor = '0';
  do {
    const from = cursor;
    const [next, flat] = await link.call((redis) => redis.hscan(key, from, 'COUNT', STEP));
    cursor = next;
    const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ''] as const] : []));
    if (pairs.length > 0) yield pairs;
  } while (cursor !== '0');
}
