import { startRedis } from '@nest-baton/testing';
import type { Bench, CurveLine, Use } from '../../harness/index.js';
import { placedOnEveryMaster, sectionOnCluster, startCluster } from '../cluster.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

/** 1: a single node. */
const MASTERS = { full: [1, 3, 6, 12], quick: [1, 3] };
const PARTITIONS_OF_MASTERS = 12;
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

/** Throughput by masters of a cluster, with as many partitions everywhere. All of them share the cores here: what is seen is their cost. */
export async function measureMasters(bench: Bench<TargetId>): Promise<void> {
  const points: [number, number][] = [];
  for (const masters of bench.pick(MASTERS.full, MASTERS.quick))
    await sectionOnCluster(bench, `${masters} masters`, [], async (use) => {
      const setup = { ...(await serversOf(use, masters)), concurrency: CONCURRENCY, partitions: PARTITIONS_OF_MASTERS };
      const remote = use(await startSubject(`${masters} masters`, 'ours', setup));
      const count = bench.pick(10_000, 500);
      await remote.run({ count });
      points.push([masters, (await remote.run({ count })).perSecond ?? NaN]);
    });
  if (points.length === 0) return;
  bench.curve({
    file: 'throughput-by-masters',
    title: `Hand-offs owned and completed a second, concurrency ${CONCURRENCY}, ${PARTITIONS_OF_MASTERS} partitions`,
    xLabel: 'masters',
    yLabel: 'hand-offs/s',
    lines: [{ name: 'ours', points }],
  });
}

async function serversOf(
  use: Use,
  masters: number,
): Promise<{ url?: string; cluster?: readonly string[]; service: string }> {
  if (masters === 1) return { url: use(await startRedis({ exclusive: true })).url, service: 'masters' };
  const cluster = await startCluster(use, { masters, replicas: 0 });
  return { cluster: cluster.urls, service: (await placedOnEveryMaster(cluster, PARTITIONS_OF_MASTERS)).service };
}
