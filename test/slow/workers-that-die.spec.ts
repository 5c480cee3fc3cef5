import { randomToken, type Random } from '@nest-baton/core';
import {
  assertConservation,
  assertLeaseHistory,
  type ChildWorker,
  type ExclusiveRedis,
  hintsUnderTest,
  type LeaseEvent,
  leaseEventsOf,
  machineTime,
  ownerGone,
  randomBetween,
  randomPick,
  sharedRedisUrl,
  startProcess,
  startRedis,
  waitFor,
} from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { FAST, openRedis, startInstance } from '../redis-reconcile/support/instance.js';
import { breakThings, inParallel, soak, untilDone } from './support/soak.js';

const WORKERS = 3;
const DATA_STREAMS = 25;
const LEASE_MS = 1_000;
const MAX_FROZEN_MS = 2 * LEASE_MS;

interface Worker {
  readonly name: string;
  readonly child: ChildWorker;
}

describe('workers that are killed and stopped, over a Redis that hangs', () => {
  let redis: ExclusiveRedis;
  const workers: Worker[] = [];
  const gone: LeaseEvent[] = [];
  const lines: string[] = [];
  let service: string;
  beforeEach(async () => {
    redis = await startRedis({ exclusive: true });
    service = `soak-${randomToken(8)}`;
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map(({ child }) => child.stop()));
    await redis.stop();
  });

  async function startWorker(random: Random): Promise<void> {
    const name = `w${gone.length}-${randomToken(4)}`;
    const options = { ...FAST, hints: hintsUnderTest(), recovery: { interval: 200, maxRetries: 10 }, lease: LEASE_MS };
    const seed = randomBetween(random, 0, 0xffff_ffff);
    const args = [redis.url, service, name, `${seed}`, sharedRedisUrl(), JSON.stringify(options)];
    const child = await startProcess({ entry: 'test/slow/support/soak-worker.ts', args });
    workers.push({ name, child });
    await child.waitForLine(/^ready$/, 30_000);
  }

  async function breakSomething(random: Random): Promise<void> {
    const worker = randomPick(random, workers);
    const { child, name } = worker;
    const chance = random();
    if (chance < 0.4) {
      workers.splice(workers.indexOf(worker), 1);
      const from = machineTime();
      child.signal('SIGKILL');
      await child.exited;
      gone.push(ownerGone(name, from));
      lines.push(...child.lines);
      await startWorker(random);
    } else if (chance < 0.8) {
      child.signal('SIGSTOP');
      await sleep(random() * MAX_FROZEN_MS);
      child.signal('SIGCONT');
    } else {
      redis.freeze();
      await sleep(random() * MAX_FROZEN_MS);
      redis.thaw();
    }
  }

  soak('finish every hand-off, and never own one data stream twice at a time', async (soaking) => {
    const producer = await startInstance({ url: redis.url, service });
    const starting = soaking.randomOf(-1);
    for (let i = 0; i < WORKERS; i++) await startWorker(starting);
    const breaking = breakThings(soaking, 1_000, breakSomething);
    const admitted: string[] = [];
    await inParallel(soaking, 2, async (actor, random, nth) => {
      const dataStream = `d${randomBetween(random, 1, DATA_STREAMS)}`;
      const dedupeId = `${actor}:${nth}`;
      admitted.push(await untilDone(() => producer.service.produce(dataStream, { dedupeId })));
      await sleep(random() * 30);
    });
    await breaking;
    const isOver = async () => {
      const { queued, pending, waiting } = await producer.service.stats();
      return queued + pending + waiting === 0;
    };
    await waitFor(isOver, { timeoutMs: 60_000, description: 'nothing is queued, pending or waiting' });

    const resource = openRedis();
    const worked = await resource.hgetall(`${service}:worked`);
    const triedAgain = await resource.hkeys(`${service}:tried-again`);
    await resource.del(`${service}:worked`, `${service}:tried-again`);
    await resource.quit();
    const { items } = await producer.service.deadLetters.list({ limit: 1_000 });
    const dead = new Set(items.map(({ handoffId }) => handoffId));
    await producer.close();
    const report = assertConservation({
      what: 'hand-offs',
      admitted,
      ended: { done: Object.keys(worked).filter((id) => !dead.has(id)), dead },
      effects: {
        worked: {
          seen: Object.entries(worked).flatMap(([id, times]) => Array<string>(Number(times)).fill(id)),
          requiredFor: ['done'],
          mayRepeat: triedAgain,
        },
      },
    });
    expect(report.ended['done']).toBeGreaterThan(0);
    for (const { child } of workers) lines.push(...child.lines);
    const history = assertLeaseHistory([...leaseEventsOf(lines), ...gone]);
    expect(history.settled).toBeGreaterThan(0);
  });
});
