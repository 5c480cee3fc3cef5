import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { type Bench, expectCount, single } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const PER_APP = 10_000;
/** Scripts below this are not worth a line in the server's log. */
const LOGGED_FROM_US = 2_000;

type Slow = [id: number, at: number, microseconds: number, words: string[]];

/** A process that held very much was SIGKILLed, every lease has run out, and one process without a handler gives it all away. */
export async function measureDeadEntries(bench: Bench<TargetId>): Promise<void> {
  await bench.section('dead pending entries', async (use) => {
    const { url } = use(await startRedis({ exclusive: true }));
    const entries = bench.pick(100_000, 5_000);
    const leaseMs = bench.pick(10_000, 2_000);
    const where = { url, service: 'dead' };
    const apps = Math.ceil(entries / PER_APP);
    const owner = use(
      await startSubject('owner', 'holder', { ...where, leases: entries, apps, lease: `${leaseMs}ms` }),
    );
    await owner.run({ add: entries });
    process.kill(owner.pid, 'SIGKILL');
    const reconciler = use(await startSubject('reconciler', 'reconciler', { ...where, lease: `${leaseMs}ms` }));
    await sleep(leaseMs * 1.1);
    const redis = new Redis(url);
    await redis.config('SET', 'slowlog-max-len', '100000');
    await redis.config('SET', 'slowlog-log-slower-than', String(LOGGED_FROM_US));
    await redis.slowlog('RESET');
    const { seconds = NaN, passes = NaN, requeued = 0, queued = 0, pending = 0, dead = 0 } = await reconciler.run();
    const slow = (await redis.slowlog('GET', 100_000)) as Slow[];
    redis.disconnect();
    expectCount('hand-offs afterwards', queued + dead, entries);
    expectCount('hand-offs still pending', pending, 0);
    expectCount('hand-offs requeued', requeued + dead, entries);
    const longestUs = Math.max(LOGGED_FROM_US, ...slow.map(([, , microseconds]) => microseconds));
    bench.meets('deadEntries', single(seconds), `${entries} entries, ${passes} passes`);
    bench.meets(
      'script',
      single(longestUs / 1000),
      `${entries} entries; shorter than ${LOGGED_FROM_US / 1000} ms is not told apart`,
    );
  });
}
