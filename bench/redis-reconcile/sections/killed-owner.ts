import { startRedis } from '@nest-baton/testing';
import { type Bench, expectCount, spreadOf, type Use } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const LEASE_MS = 2_000;
const MIN_IDLE_MS = 2_000;
const INTERVAL_MS = 1_000;

interface Way {
  readonly target: 'killedWithEvents' | 'killedWithout';
  readonly setup: object;
  /** What the promise allows before its second begins. */
  readonly allowedMs: number;
  readonly conditions: string;
}

const WAYS: readonly Way[] = [
  {
    target: 'killedWithEvents',
    setup: { hints: 'on' },
    allowedMs: LEASE_MS,
    conditions: 'lease 2 s',
  },
  {
    target: 'killedWithout',
    setup: { hints: 'off', recovery: { interval: '1s', minIdle: '2s' } },
    allowedMs: Math.max(LEASE_MS, MIN_IDLE_MS) + 1.1 * INTERVAL_MS,
    conditions: 'hints off, lease 2 s, minIdle 2 s, interval 1 s',
  },
];

/** An owner of many is SIGKILLed while another worker is there: how long until the last percent of its work is in hands again. */
export async function measureKilledOwner(bench: Bench<TargetId>): Promise<void> {
  for (const way of WAYS) {
    await bench.section(`a killed owner, ${way.conditions}`, async (use) => {
      const { url } = use(await startRedis({ exclusive: true }));
      const orphans = bench.pick(200, 50);
      const rounds = bench.pick(9, 1);
      const beyond: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const tookMs = await killOnce(use, { url, service: `killed-${round}` }, way, orphans);
        bench.say(`  ${round + 1}/${rounds} ${Math.round(tookMs)} ms`);
        beyond.push(tookMs - way.allowedMs);
      }
      bench.meets(way.target, spreadOf(beyond), `${orphans} hand-offs, ${rounds} kills, ${way.conditions}`);
    });
  }
}

async function killOnce(use: Use, where: { url: string; service: string }, way: Way, orphans: number): Promise<number> {
  const holder = use(await startSubject('owner', 'holder', { ...where, leases: orphans, lease: `${LEASE_MS}ms` }));
  await holder.run({ add: orphans });
  const rescuer = use(
    await startSubject('rescuer', 'rescuer', { ...where, ...way.setup, lease: `${LEASE_MS}ms`, concurrency: orphans }),
  );
  const killedAt = performance.timeOrigin + performance.now();
  process.kill(holder.pid, 'SIGKILL');
  const { handled = 0, p99At = NaN, firstAt = 0 } = await rescuer.run({ count: orphans });
  expectCount('orphans handled', handled, orphans);
  // Before the kill nobody may have what the owner held.
  expectCount('orphans handled before the kill', firstAt < killedAt ? 1 : 0, 0);
  await rescuer.stop();
  return p99At - killedAt;
}
