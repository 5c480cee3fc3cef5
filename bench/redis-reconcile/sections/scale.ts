import { startRedis } from '@nest-baton/testing';
import type { Bench, CurveLine } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const PARTITIONS = { full: [1, 2, 4, 8, 16], quick: [1, 16] };
const CONCURRENCY = 100;
const SIZES = { full: [1, 10, 50, 100, 200, 500, 1_000], quick: [10, 100] };

/** Throughput by concurrency, of ours and of the floor with reads of the same size. Twice each, the first to warm up. */
export async function measureScale(bench: Bench<TargetId>): Promise<void> {
  await bench.section('scale', async (use) => {
    const { url } = use(await startRedis({ exclusive: true }));
    const lines: CurveLine[] = [];
    for (const [name, subject] of [
      ['ours', 'ours'],
      ['raw read, lease, Lua ack', 'floor'],
    ] as const) {
      const points: [number, number][] = [];
      for (const concurrency of bench.pick(SIZES.full, SIZES.quick)) {
        const setup = { url, service: `scale-${subject}-${concurrency}`, concurrency };
        const remote = use(await startSubject(`${name} at ${concurrency}`, subject, setup));
        const count = bench.pick(concurrency < 10 ? 3_000 : 10_000, 500);
        await remote.run({ count });
        points.push([concurrency, (await remote.run({ count })).perSecond ?? NaN]);
        await remote.stop();
      }
      lines.push({ name, points });
    }
    bench.curve({
      file: 'throughput-by-concurrency',
      title: 'Hand-offs owned and completed a second',
      xLabel: 'concurrency',
      yLabel: 'hand-offs/s',
      xScale: 'log',
      lines,
    });
  });
}

/** Throughput by partitions: a connection, a read and a script of each kind for every one of them. */
export async function measurePartitions(bench: Bench<TargetId>): Promise<void> {
  await bench.section('partitions', async (use) => {
    const { url } = use(await startRedis({ exclusive: true }));
    const points: [number, number][] = [];
    for (const partitions of bench.pick(PARTITIONS.full, PARTITIONS.quick)) {
      const setup = { url, service: `partitions-${partitions}`, concurrency: CONCURRENCY, partitions };
      const remote = use(await startSubject(`${partitions} partitions`, 'ours', setup));
      const count = bench.pick(10_000, 500);
      await remote.run({ count });
      points.push([partitions, (await remote.run({ count })).perSecond ?? NaN]);
      await remote.stop();
    }
    bench.curve({
      file: 'throughput-by-partitions',
      title: `Hand-offs owned and completed a second, concurrency ${CONCURRENCY}`,
      xLabel: 'partitions',
      yLabel: 'hand-offs/s',
      xScale: 'log',
      lines: [{ name: 'ours', points }],
    });
  });
}
