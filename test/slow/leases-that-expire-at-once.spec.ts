import { type ExclusiveRedis, startRedis, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshService, keysOf, openRedis, startInstances } from '../redis-reconcile/support/instance.js';

const LEASES = 100_000;
const CHUNK = 1_000;
/** Seeding them must be over by then, on a slow machine too. */
const EXPIRE_AFTER_MS = 60_000;
const TIMEOUT_MS = 400_000;
/** Beyond what the process had before; the suite itself remembers three events of each. */
const MOST_MEMORY = 500 * 1024 * 1024;
/** What somebody else's call may take meanwhile, on a machine that has other work. */
const ANSWER_MS = 15_000;

/** A chunk of work whose owner is dead, its leases all of one end. KEYS: stream, owned. ARGV: how many, name, lease prefix, when. */
const SEED = `
for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'stream', ARGV[2] .. i) end
local page = redis.call('XREADGROUP', 'GROUP', 'owners', 'ghost', 'COUNT', ARGV[1], 'STREAMS', KEYS[1], '>')
for _, entry in ipairs(page[1][2]) do
  local id, name = entry[1], entry[2][2]
  redis.call('HSET', KEYS[2], name, cjson.encode({ id = id, token = 'ghost-' .. id, fence = '1', consumer = 'ghost' }))
  redis.call('SET', ARGV[3] .. name, 'ghost', 'PXAT', ARGV[4])
  redis.call('XCLAIM', KEYS[1], 'owners', 'ghost', 0, id, 'RETRYCOUNT', 2, 'JUSTID')
end`;

describe('100 000 leases that expire in one moment', () => {
  const start = startInstances();
  let server: ExclusiveRedis;
  let redis: Redis;
  beforeEach(async () => {
    server = await startRedis({ exclusive: true });
    redis = openRedis(server.url);
  });
  afterEach(async () => {
    redis.disconnect();
    await server.stop();
  });

  it(
    'bring all of their work to somebody else once, while memory stays bounded and others are answered',
    async () => {
      const service = freshService();
      const keys = keysOf(service);
      await redis.xgroup('CREATE', keys.stream, 'owners', '0', 'MKSTREAM');
      const endsAt = Date.now() + EXPIRE_AFTER_MS;
      for (let i = 0; i < LEASES; i += CHUNK)
        await redis.eval(SEED, 2, keys.stream, keys.owned, CHUNK, `s${i}-`, keys.lease(''), endsAt);
      const seen = new Map<string, number>();
      const attempts = new Set<number>();
      const instance = await start({
        url: server.url,
        service,
        concurrency: 100,
        // What events miss a scan finds.
        options: {
          keyspaceEvents: 'require',
          hints: 'on',
          lease: '10s',
          recovery: { interval: '20s' },
          commandTimeout: '10s',
        },
        handle: async ({ dataStream, attempt }) => {
          seen.set(dataStream, (seen.get(dataStream) ?? 0) + 1);
          attempts.add(attempt);
        },
      });
      expect(seen.size).toBe(0);
      const before = process.memoryUsage().rss;
      let most = before;
      let slowestMs = 0;
      const isOver = () => seen.size >= LEASES;
      const asking = (async () => {
        for (let i = 0; !isOver(); i++) {
          const at = performance.now();
          await instance.service.produce(`of-others-${i}`);
          await instance.service.stats();
          slowestMs = Math.max(slowestMs, performance.now() - at);
          most = Math.max(most, process.memoryUsage().rss);
          await sleep(50);
        }
      })();
      const over = waitFor(isOver, { timeoutMs: TIMEOUT_MS - 60_000, description: 'all came to somebody else' });
      await Promise.all([over, asking]);
      const sum = async () => {
        const { queued, pending, waiting } = await instance.service.stats();
        return queued + pending + waiting;
      };
      await waitFor(async () => (await sum()) === 0, { timeoutMs: 60_000, description: 'all of it ended' });
      const ours = [...seen].filter(([name]) => name.startsWith('s'));
      expect(ours).toHaveLength(LEASES);
      expect(ours.filter(([, times]) => times !== 1)).toEqual([]);
      expect(attempts).toEqual(new Set([1, 2]));
      expect(most - before).toBeLessThan(MOST_MEMORY);
      expect(slowestMs).toBeLessThan(ANSWER_MS);
    },
    TIMEOUT_MS,
  );
});
