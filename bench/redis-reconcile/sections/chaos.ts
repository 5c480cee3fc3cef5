import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandom } from '@nest-baton/core';
import { startRedis } from '@nest-baton/testing';
import { type Bench, expectCount, type RemoteSubject, single } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const WORKERS = 4;
const KILL_EVERY_MS = 2_000;
const RATE = 100;

/** One of four workers dies every two seconds while hand-offs come in. On one node: the promise's failover needs a cluster. */
export async function measureChaos(bench: Bench<TargetId>): Promise<void> {
  await bench.section('workers that die', async (use) => {
    const where = { url: use(await startRedis({ exclusive: true })).url, service: 'chaos' };
    const start = async (): Promise<RemoteSubject> => use(await startSubject('worker', 'chaosWorker', where));
    const producer = use(await startSubject('producer', 'chaosProducer', where));
    const workers = Array.from({ length: WORKERS }, start);
    await Promise.all(workers);
    const durationMs = bench.pick(60_000, 5_000);
    const producing = producer.run({ ratePerSecond: RATE, durationMs });
    let kills = 0;
    for (const endsAt = performance.now() + durationMs; performance.now() < endsAt; kills++) {
      await sleep(KILL_EVERY_MS);
      const victim = Math.floor(systemRandom() * WORKERS);
      process.kill((await (workers[victim] as Promise<RemoteSubject>)).pid, 'SIGKILL');
      workers[victim] = start();
    }
    await Promise.all(workers);
    const { added = NaN } = await producing;
    const { done = NaN, dead = NaN } = await producer.run({ settle: true });
    expectCount('dead letters', dead, 0);
    const note = `one node, no failover: ${added} added, ${done} done, ${kills} kills`;
    bench.shows(`${durationMs / 1000} s of SIGKILLs: hand-offs lost`, single(added - done), 'hand-offs', note);
  });
}
