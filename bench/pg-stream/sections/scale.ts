import { type CurveLine, expectCount, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { chunksOf } from '../measuring/open-loop-writers.js';
import { StreamProcess } from '../stream-process.js';
import { DEFAULTS, OURS, type StreamBench } from '../targets.js';
import { listen } from './delivering.js';

type Point = readonly [number, number];

/** How the cost grows: of an append with callers, and of a delivery with readers of the stream. */
export async function scale(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const ms = bench.pick(3_000, 150);
  const callers = bench.pick([1, 2, 4, 8, 16, 32, 64, 128, 256], [1, 16, 256]);
  const lines: CurveLine[] = [];
  for (const [name, database] of [
    [OURS, 'ours-scale'],
    [DEFAULTS, 'peer-scale'],
  ] as const) {
    const subject = use(await StreamProcess.start(name, await server.createDatabase(database)));
    await subject.run({ action: 'append', callers: 16, streams: 1, ms });
    lines.push({ name: `${name}, one stream`, points: await appendCosts(subject, callers, () => 1, ms) });
    lines.push({ name: `${name}, a stream each`, points: await appendCosts(subject, callers, (count) => count, ms) });
  }
  bench.curve({
    file: 'append-by-callers',
    title: 'Time of the whole process for one append, over concurrent callers',
    xLabel: 'callers',
    yLabel: 'ms an append',
    xScale: 'log',
    lines,
  });
  await spreadCurves(bench, server, use);
  await readerCurve(bench, server, use);
}

/** 256 callers: over more and more streams, and with larger and larger chunks. */
async function spreadCurves(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const ms = bench.pick(3_000, 150);
  const callers = 256;
  const subject = use(await StreamProcess.start(OURS, await server.createDatabase('ours-spread')));
  const cost = async (streams: number, bytes?: number) => {
    const { chunksPerSecond = NaN } = await subject.run({
      action: 'append',
      callers,
      streams,
      ms,
      ...(bytes !== undefined && { bytes }),
    });
    return 1000 / chunksPerSecond;
  };
  await cost(1);
  const byStreams: Point[] = [];
  for (const streams of bench.pick([1, 4, 16, 64, 256], [1, 256])) byStreams.push([streams, await cost(streams)]);
  bench.curve({
    file: 'append-by-streams',
    title: 'Time of the whole process for one append of 256 callers, over streams',
    xLabel: 'streams',
    yLabel: 'ms an append',
    xScale: 'log',
    lines: [{ name: OURS, points: byStreams }],
  });
  const bySize: Point[] = [];
  for (const bytes of bench.pick([10, 100, 1_000, 10_000, 100_000], [100, 10_000]))
    bySize.push([bytes, await cost(16, bytes)]);
  bench.curve({
    file: 'append-by-size',
    title: 'Time of the whole process for one append of 256 callers on 16 streams, over the size of chunks',
    xLabel: 'bytes',
    yLabel: 'ms an append',
    xScale: 'log',
    lines: [{ name: OURS, points: bySize }],
  });
}

async function appendCosts(
  subject: StreamProcess,
  callers: readonly number[],
  streamsOf: (callers: number) => number,
  ms: number,
): Promise<Point[]> {
  const points: Point[] = [];
  for (const count of callers) {
    const { chunksPerSecond = NaN } = await subject.run({
      action: 'append',
      callers: count,
      streams: streamsOf(count),
      ms,
    });
    points.push([count, 1000 / chunksPerSecond]);
  }
  return points;
}

/** Readers are added to those that are there. Chunks come slowly enough for every reader to be done before the next. */
async function readerCurve(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const url = await server.createDatabase('readers-scale');
  const writer = use(await StreamProcess.start(OURS, url));
  const reader = use(await StreamProcess.start(OURS, url));
  await listen(reader, writer, 1);
  const p50: Point[] = [];
  const p99: Point[] = [];
  let there = 1;
  let written = 0;
  for (const readers of bench.pick([1, 10, 100, 1_000], [1, 100])) {
    await reader.run({ action: 'follow', streams: 1, readersEach: readers - there });
    // Whoever comes later reads first what came before.
    await reader.run({ action: 'collect', expected: (readers - there) * written, patienceMs: 60_000 });
    there = readers;
    const load = { perSecond: 5, seconds: bench.pick(20, 1), streams: 1 };
    await writer.run({ action: 'write', ...load });
    written += chunksOf(load);
    const expected = chunksOf(load) * readers;
    const arrived = await reader.run({ action: 'collect', expected, patienceMs: 60_000 });
    expectCount(`chunks at ${readers} readers`, arrived.received ?? NaN, expected);
    p50.push([readers, arrived.p50 ?? NaN]);
    p99.push([readers, arrived.p99 ?? NaN]);
  }
  bench.curve({
    file: 'delivery-by-readers',
    title: 'From append to reader, over readers of the stream in another process',
    xLabel: 'readers',
    yLabel: 'ms',
    xScale: 'log',
    lines: [
      { name: 'p50', points: p50 },
      { name: 'p99', points: p99 },
    ],
  });
}
