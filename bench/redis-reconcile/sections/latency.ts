import { startRedis } from '@nest-baton/testing';
import type { Bench } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const RATE = 200;

/** From being due to being handled, at a rate that nobody has trouble with; for orientation. */
export async function measureLatency(bench: Bench<TargetId>): Promise<void> {
  await bench.section('from produce to handler', async (use) => {
    const { url } = use(await startRedis({ exclusive: true }));
    const setup = { url, service: 'latency', concurrency: 100 };
    const sides = [
      use(await startSubject('ours', 'ourLatency', setup)),
      use(await startSubject('BullMQ', 'bullmqLatency', { ...setup, service: 'latency-bullmq' })),
    ];
    const run = { ratePerSecond: RATE, durationMs: bench.pick(10_000, 1_000) };
    const told = sides.map((side) => ({ name: side.name, run: () => side.run(run) }));
    const pairs = await bench.interleave(told, 'p99');
    for (const { name } of sides)
      for (const figure of ['p50', 'p99', 'max'])
        bench.shows(`${name}: from produce to handler at ${RATE}/s, ${figure}`, pairs.of(name, figure), 'ms');
  });
}
