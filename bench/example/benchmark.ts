import { defineBenchmark, expectCount, LatencyHistogram, openLoop, RemoteSubject, spreadOf } from '../harness/index.js';

/** How a benchmark is written: two ways to join strings, in processes of their own. Run it with `npm run bench -- example --quick`. */
export default defineBenchmark({
  name: 'example',
  packages: ['hdr-histogram-js'],
  targets: {
    join: { name: 'join against concatenation', unit: 'x', atLeast: 0.1 },
    latency: { name: 'p99 of an immediate at 500/s', unit: 'ms', atMost: 50 },
    teleport: { name: 'teleports', unit: '/s', atLeast: 1 },
  },
  async run(bench) {
    const count = bench.pick(2_000_000, 200_000);
    await bench.section('joining', async (use) => {
      const program = new URL('./subjects.ts', import.meta.url);
      const start = (name: string) => RemoteSubject.start({ name, program, subject: name, parameters: { count } });
      const floor = use(await start('concatenation'));
      const ours = use(await start('join'));
      const pairs = await bench.interleave([floor, ours], 'perSecond');
      bench.meets('join', pairs.ratio('perSecond', 'join', 'concatenation'));
      bench.shows('joined strings', pairs.of('join', 'perSecond'), '/s');
      bench.curve({
        file: 'by-count',
        title: 'Strings joined a second',
        xLabel: 'strings',
        yLabel: 'per second',
        xScale: 'log',
        lines: [{ name: 'join', points: await pointsOf(ours, [count / 4, count / 2, count]) }],
      });
    });
    await bench.section('latency', async () => {
      const p99s: number[] = [];
      for (let round = 0; round < bench.pairs; round++) {
        const histogram = new LatencyHistogram();
        const begun = await openLoop({
          ratePerSecond: 500,
          durationMs: 500,
          operation: () => new Promise((resolve) => setImmediate(resolve)),
          onLatency: (latencyMs) => histogram.record(latencyMs),
        });
        expectCount('latencies', histogram.count, begun);
        p99s.push(histogram.percentile(99));
      }
      bench.meets('latency', spreadOf(p99s));
    });
    bench.notBuilt('teleport', 'there is no teleporter');
  },
});

async function pointsOf(subject: RemoteSubject, counts: readonly number[]): Promise<[number, number][]> {
  const points: [number, number][] = [];
  for (const count of counts) points.push([count, (await subject.run({ count })).perSecond ?? NaN]);
  return points;
}
