import type { Bench } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';
import { BATCH_BYTES, CONCURRENCY, OUR_FORGET_OPTIONS, OUR_OPTIONS } from './common-work.js';
import { measureLines, pointsOf } from './lines.js';

const SIZES = { all: [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000], quick: [100, 3_000, 100_000] };
/** So much at each size, and never more documents than that. */
const MB = { full: 100, short: 40, quick: 4 };
const MOST_DOCUMENTS = { full: 200_000, short: 100_000, quick: 20_000 };
/** Under way at a time: more than four requests, whatever the size. */
const WINDOW_BYTES = 12_000_000;

/** How the distance to the floors changes with the documents' size. */
export async function measureScaleBySize(bench: Bench<TargetId>): Promise<void> {
  await bench.section('scale by document size', async (use) => {
    const { url } = use(await startSink());
    const compression = 'none';
    const floor = { maxBatchBytes: BATCH_BYTES, concurrency: CONCURRENCY, compression };
    const ours = { ...OUR_OPTIONS, compression };
    const subjects = await Promise.all([
      startSubject('hand-written loop', 'loop', { url, window: 0, options: floor }),
      startSubject('ours, fire and forget', 'ours', {
        url,
        window: 0,
        options: { ...OUR_FORGET_OPTIONS, compression },
      }),
      startSubject('promise per document', 'promiseLoop', { url, window: 0, options: floor }),
      startSubject('ours, a receipt per document', 'ourReceipts', { url, window: 0, options: ours }),
    ]);
    const sizes = bench.scale === 'quick' ? SIZES.quick : SIZES.all;
    const measured = await measureLines(bench, subjects.map(use), sizes, (bytes) => ({
      bytes,
      documents: Math.min(MOST_DOCUMENTS[bench.scale], Math.round((MB[bench.scale] * 1e6) / bytes)),
      window: Math.ceil(WINDOW_BYTES / bytes),
    }));
    const about = { xLabel: 'bytes a document', xScale: 'log' } as const;
    const megabytes = (perSecond: number, bytes: number): number => (perSecond * bytes) / 1e6;
    const title = `by document size (${measured.repeats})`;
    bench.curve({
      ...about,
      file: 'documents-by-size',
      title: `Documents a second, ${title}`,
      yLabel: 'documents/s',
      lines: pointsOf(measured, 'perSecond'),
    });
    bench.curve({
      ...about,
      file: 'megabytes-by-size',
      title: `Megabytes a second, ${title}`,
      yLabel: 'MB/s',
      lines: pointsOf(measured, 'perSecond', megabytes),
    });
    bench.curve({
      ...about,
      file: 'cpu-by-size',
      title: `Processor time a document, ${title}`,
      yLabel: 'us/document',
      lines: pointsOf(measured, 'cpuUsPerDocument'),
    });
  });
}
