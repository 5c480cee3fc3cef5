import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandom } from '@nest-baton/core';
import { startRedis } from '@nest-baton/testing';
import { type Bench, type RemoteSubject, single, type Use } from '../../harness/index.js';
import { bringBack, killAndReplace, placedOnEveryMaster, sectionOnCluster, startCluster } from '../cluster.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const WORKERS = 4;
const KILL_EVERY_MS = 2_000;
const RATE = 100;
const PARTITIONS = 8;
const START_ATTEMPTS = 20;

/**
 * Hand-offs come in, each confirmed by a replica, one of four workers dies every two seconds, and half-way a master. What was done is counted on a
 * server that nothing is done to.
 */
export async function measureChaos(bench: Bench<TargetId>): Promise<void> {
  await sectionOnCluster(bench, 'workers that die, and a master', ['chaos'], async (use) => {
    const cluster = await startCluster(use);
    const { service } = await placedOnEveryMaster(cluster, PARTITIONS);
    const tracesUrl = use(await startRedis({ exclusive: true })).url;
    const where = { cluster: cluster.urls, service, tracesUrl };
    const producer = use(await startSubject('producer', 'chaosProducer', where));
    const victims = new Victims(() => startSubject('worker', 'chaosWorker', where), use);
    await victims.allStarted();
    const durationMs = bench.pick(60_000, 5_000);
    const producing = producer.run({ ratePerSecond: RATE, durationMs });
    const failover = sleep(durationMs / 2).then(async () => {
      const master = await cluster.ownerOf(`{${service}:0}`);
      await killAndReplace(cluster, master);
      // The new one has no replica, and nothing is confirmed, until the old one is back.
      await bringBack(cluster, master);
    });
    const killing = victims.killFor(durationMs);
    // All of them to their ends: nobody may go on starting workers when the section is over.
    await Promise.allSettled([producing, killing, failover]);
    const [{ added = NaN }, kills] = await Promise.all([producing, killing, failover]);
    await victims.allStarted();
    const { open = NaN, done = NaN, dead = 0 } = await producer.run({ settle: true });
    const note = `${durationMs / 1000} s, ${added} confirmed, ${done} done, ${dead} dead, ${kills} kills, 1 failover`;
    if (open === 0) bench.meets('chaos', single(added - done - dead), note);
    else bench.notMeasured('chaos', `not all had ended two minutes later: ${note}, ${open} open`);
  });
}

class Victims {
  private readonly workers: Promise<RemoteSubject>[];

  constructor(
    private readonly start: () => Promise<RemoteSubject>,
    private readonly use: Use,
  ) {
    this.workers = Array.from({ length: WORKERS }, () => this.started());
  }

  async allStarted(): Promise<void> {
    await Promise.all(this.workers);
  }

  /** Replaces whom it kills. Returns how many it killed. */
  async killFor(durationMs: number): Promise<number> {
    let kills = 0;
    for (const endsAt = performance.now() + durationMs; performance.now() < endsAt; kills++) {
      await sleep(KILL_EVERY_MS);
      const victim = Math.floor(systemRandom() * WORKERS);
      process.kill((await (this.workers[victim] as Promise<RemoteSubject>)).pid, 'SIGKILL');
      this.workers[victim] = this.started();
    }
    return kills;
  }

  /** Again and again, as whoever runs processes does: one that comes up while the master of its number of partitions is gone refuses to. */
  private async started(): Promise<RemoteSubject> {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.use(await this.start());
      } catch (error) {
        if (attempt === START_ATTEMPTS) throw error;
      }
    }
  }
}
