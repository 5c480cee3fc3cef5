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

/**
 * The hand-written loop never holds more than its requests and the one that it fills. Ours is bounded alike when nobody waits for receipts: with
 * a larger buffer it would take documents for as long as there is room before the sockets have their turn, and need more memory than the loop.
 */
export const OUR_FORGET_OPTIONS = { ...OUR_OPTIONS, maxBufferBytes: (CONCURRENCY + 2) * BATCH_BYTES };

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
