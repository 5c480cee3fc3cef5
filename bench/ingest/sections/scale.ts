import type { Bench, RemoteSubject, Sample } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const CALLERS = { full: [1, 4, 16, 64, 256, 1_024, 4_096], quick: [1, 16, 256] };
const PER_CALL = { full: [1, 3, 10, 30, 100, 300, 1_000], quick: [1, 30, 300] };

/** How throughput grows with callers who wait for their own document, and with documents a call. Once each: the shape counts. */
export async function measureScale(bench: Bench<TargetId>): Promise<void> {
  await bench.section('scale', async (use) => {
    const sink = use(await startSink());
    const setup = { url: sink.url, window: 10_000, options: { compression: 'none' } };
    const ours = use(await startSubject('ours', 'ourReceipts', setup));
    const durationMs = bench.pick(3_000, 400);
    const byCallers = await points(bench.pick(CALLERS.full, CALLERS.quick), (callers) =>
      ours.run({ callers, durationMs }),
    );
    bench.curve({
      file: 'throughput-by-callers',
      title: 'Confirmed documents a second, by callers with one document each',
      xLabel: 'callers',
      yLabel: 'documents/s',
      xScale: 'log',
      lines: [{ name: 'ingestSync', points: byCallers }],
    });
    await warm(ours);
    const documents = bench.pick(100_000, 20_000);
    const byCall = await points(bench.pick(PER_CALL.full, PER_CALL.quick), (perCall) =>
      ours.run({ documents, perCall }),
    );
    bench.curve({
      file: 'throughput-by-call-size',
      title: 'Confirmed documents a second, by documents a call',
      xLabel: 'documents a call',
      yLabel: 'documents/s',
      xScale: 'log',
      lines: [{ name: 'ingestSync', points: byCall }],
    });
  });
}

async function warm(ours: RemoteSubject): Promise<void> {
  await ours.run({ documents: 10_000, perCall: 10 });
}

async function points(sizes: readonly number[], run: (size: number) => Promise<Sample>): Promise<[number, number][]> {
  const all: [number, number][] = [];
  for (const size of sizes) all.push([size, (await run(size)).perSecond ?? NaN]);
  return all;
}
