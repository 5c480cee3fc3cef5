import type { Bench, Pairs } from '../../harness/index.js';
import type { TargetId } from '../targets.js';

/** The same work for everybody: requests of a megabyte, four at a time. */
export const BATCH_BYTES = 1_000_000;
export const CONCURRENCY = 4;
/** Documents that callers have under way: more than fit into those requests, so that nobody runs dry. */
export const WINDOW = 40_000;
export const OUR_OPTIONS = {
  maxBatchBytes: BATCH_BYTES,
  maxBatchDocs: 100_000,
  concurrency: CONCURRENCY,
  maxBufferDocs: 100_000,
};

/** Rate, processor time and memory of one side, with what of the pair's time the sink took: it shares the machine's cores. */
export function showSubject(bench: Bench<TargetId>, pairs: Pairs, name: string, title = name): void {
  const median = (figure: string): number => pairs.of(name, figure).measured;
  const percent = (figure: string): string => `${(median(figure) * 100).toFixed(0)} %`;
  const sink = `the sink takes ${percent('sinkShare')} of the processor time of both and is busy ${percent('sinkBusy')} of the run`;
  bench.shows(title, pairs.of(name, 'perSecond'), 'documents/s', sink);
  const collected = `of it garbage collection ${median('gcUsPerDocument').toFixed(2)} us, as far as it holds the thread up`;
  bench.shows(`${title}: CPU`, pairs.of(name, 'cpuUsPerDocument'), 'us/document', collected);
  bench.shows(`${title}: memory`, pairs.of(name, 'rssMb'), 'MB', 'resident at the end of a run');
}
