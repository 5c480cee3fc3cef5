import { setTimeout as sleep } from 'node:timers/promises';
import type { HandoffNotifications } from '@nest-baton/redis-reconcile';
import { Cluster } from 'ioredis';
import type { Parameters, Sample, ServedSubject } from '../../../harness/index.js';
import { startOurApp } from '../our-app.js';

/** The default on a cluster. */
const PARTITIONS = 8;

const PROBE_EVERY_MS = 100;
const PROBE_LASTS_MS = 20;

/**
 * Listens for leases that run out. `run` lets some run out in each of the partitions, again and again, until one of each was heard, and says how
 * many partitions were heard and when (by the wall clock) the last of them was for the first time.
 */
export async function startListener(setup: Parameters): Promise<ServedSubject> {
  const { cluster, service } = setup as { readonly cluster: readonly string[]; readonly service: string };
  const redis = new Cluster([...cluster], {
    slotsRefreshTimeout: 5_000,
    redisOptions: { commandTimeout: 1_000, maxRetriesPerRequest: 0 },
  });
  redis.on('error', () => undefined);
  const app = await startOurApp({ cluster, service });
  const heardAt = new Map<string, number>();
  const notifications = app.reconcile.notifications({ concurrency: 1 });
  const listening = listen(notifications, heardAt);
  let runs = 0;
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { partitions, timeoutMs } = parameters as { readonly partitions: number[]; readonly timeoutMs: number };
    const number = runs++;
    const nameOf = (partition: number): string => `${number}:${partition}`;
    const missing = () => partitions.filter((partition) => !heardAt.has(nameOf(partition)));
    for (const deadline = performance.now() + timeoutMs; missing().length > 0 && performance.now() < deadline;) {
      for (const p of missing())
        // As an owner's that does not renew; a command that a failover keeps from its end is made again.
        redis
          .set(`{${service}:${p}/${PARTITIONS}}:lease:${nameOf(p)}`, 'probe', 'PX', PROBE_LASTS_MS)
          .catch(() => undefined);
      await sleep(PROBE_EVERY_MS);
    }
    const times = partitions.flatMap((partition) => heardAt.get(nameOf(partition)) ?? []);
    return { heard: times.length, lastAt: Math.max(...times) };
  };
  const stop = async (): Promise<void> => {
    redis.disconnect();
    await notifications.return();
    await listening;
    await app.stop();
  };
  return { run, stop };
}

async function listen(notifications: HandoffNotifications, heardAt: Map<string, number>): Promise<void> {
  for await (const notification of notifications)
    if (notification.type === 'StreamExpired' && !heardAt.has(notification.dataStream))
      heardAt.set(notification.dataStream, performance.timeOrigin + performance.now());
}
