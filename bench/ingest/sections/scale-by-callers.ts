import type { Bench } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';
import { measureLines, pointsOf } from './lines.js';

const CALLERS = { all: [1, 4, 16, 64, 256, 1_024, 4_096, 10_000], quick: [1, 64, 10_000] };
const PER_CALL = { all: [1, 3, 10, 30, 100, 300, 1_000], quick: [1, 30, 300] };
/** Sockets of those who make a request for each document: more only cost. */
const CONNECTIONS = 64;
const OURS = 'ingestSync';
const POST_EACH = 'a POST each';

/** How throughput grows with callers who wait for their own document, and with documents a call. */
export async function measureScaleByCallers(bench: Bench<TargetId>): Promise<void> {
  await bench.section('scale by callers', async (use) => {
    const { url } = use(await startSink());
    const options = { compression: 'none' };
    const [ours, postEach] = await Promise.all([
      startSubject(OURS, 'ourReceipts', { url, window: 10_000, options: { ...options, maxBufferDocs: 20_000 } }),
      startSubject(POST_EACH, 'postEach', { url, window: 0, options: { ...options, concurrency: CONNECTIONS } }),
    ]);
    const isQuick = bench.scale === 'quick';
    const durationMs = bench.scale === 'full' ? 3_000 : isQuick ? 250 : 600;
    const callers = isQuick ? CALLERS.quick : CALLERS.all;
    const lines = await measureLines(bench, [use(ours), use(postEach)], callers, (size) => ({
      callers: size,
      durationMs,
    }));
    const about = { xLabel: 'callers', xScale: 'log' } as const;
    bench.curve({
      ...about,
      file: 'throughput-by-callers',
      title: `Confirmed documents a second, by callers with one document each (${lines.repeats})`,
      yLabel: 'documents/s',
      lines: pointsOf(lines, 'perSecond'),
    });
    bench.curve({
      ...about,
      file: 'cpu-by-callers',
      title: `Processor time a document, by callers with one document each (${lines.repeats})`,
      yLabel: 'us/document',
      lines: pointsOf(lines, 'cpuUsPerDocument'),
    });
    const documents = isQuick ? 20_000 : 100_000;
    const perCall = await measureLines(bench, [ours], isQuick ? PER_CALL.quick : PER_CALL.all, (size) => ({
      documents,
      perCall: size,
    }));
    bench.curve({
      file: 'throughput-by-call-size',
      title: `Confirmed documents a second, by documents a call (${perCall.repeats})`,
      xLabel: 'documents a call',
      yLabel: 'documents/s',
      xScale: 'log',
      lines: pointsOf(perCall, 'perSecond'),
    });
  });
}
