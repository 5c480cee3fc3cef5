import { type Bench, type RemoteSubject, single, spreadOf } from '../../harness/index.js';
import { bringBack, killAndReplace, placedOnEveryMaster, sectionOnCluster, startCluster } from '../cluster.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const PARTITIONS = 8;
/** Until a master counts as one that is not heard. */
const HEARD_TIMEOUT_MS = 60_000;

/**
 * Whose expiry events arrive: leases run out on every master, and what counts is that the process was told. Then masters are killed, one after the
 * other, and replaced.
 */
export async function measureCoverage(bench: Bench<TargetId>): Promise<void> {
  await sectionOnCluster(bench, 'expiry events of a cluster', ['coverage', 'coverageAgain'], async (use) => {
    const cluster = await startCluster(use);
    const { service, partitions } = await placedOnEveryMaster(cluster, PARTITIONS);
    const masters = await cluster.masters();
    const listener = use(await startSubject('listener', 'listener', { cluster: cluster.urls, service }));
    const heard = await hear(listener, partitions);
    const again: number[] = [];
    let missed = 0;
    for (const [round, master] of masters.slice(0, bench.pick(masters.length, 1)).entries()) {
      await killAndReplace(cluster, master);
      const agreedAt = performance.timeOrigin + performance.now();
      const after = await hear(listener, partitions);
      if (after.count < partitions.length) missed++;
      else again.push(Math.max(0, after.lastAt - agreedAt) / 1000);
      bench.say(`  ${round + 1}: ${after.count} of ${partitions.length} masters heard`);
      await bringBack(cluster, master);
    }
    bench.meets('coverage', single((100 * heard.count) / masters.length), `${masters.length} masters, a lease on each`);
    const note = `${again.length + missed} masters killed, until a lease that ran out on the new one was heard`;
    if (missed === 0) bench.meets('coverageAgain', spreadOf(again), note);
    else bench.notMeasured('coverageAgain', `${missed} times some master was not heard within ${HEARD_TIMEOUT_MS} ms`);
  });
}

async function hear(
  listener: RemoteSubject,
  partitions: readonly number[],
): Promise<{ count: number; lastAt: number }> {
  const { heard = 0, lastAt = NaN } = await listener.run({ partitions, timeoutMs: HEARD_TIMEOUT_MS });
  return { count: heard, lastAt };
}
