import { type Bench, type Sample, single } from '../../harness/index.js';
import type { Fault } from '../sink/fault.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const FAULTS: readonly (readonly [Fault, string])[] = [
  ['second-429', 'every second request 429'],
  ['second-503', 'every second request 503'],
  ['fifth-reset', 'every fifth request stored, then reset'],
];

/** Each fault once: what is counted are documents, not time. */
export async function measureFaults(bench: Bench<TargetId>): Promise<void> {
  await bench.section('faults', async (use) => {
    const sink = use(await startSink());
    const ours = use(await startSubject('ours', 'faultyOurs', { url: sink.url }));
    const elastic = use(await startSubject('helpers.bulk', 'faultyElastic', { url: sink.url }));
    const documents = bench.pick(50_000, 20_000);
    const verdicts: Sample[] = [];
    for (const [fault, title] of FAULTS) {
      verdicts.push(await ours.run({ fault, documents }));
      showElastic(bench, title, await elastic.run({ fault, documents }));
    }
    showElastic(bench, 'a tenth of the items 429', await elastic.run({ fault: 'items-429', documents }));
    const sum = (figure: string): number => verdicts.reduce((total, verdict) => total + (verdict[figure] ?? NaN), 0);
    const note = `${FAULTS.length} faults, ${documents} documents each; ${sum('duplicates')} duplicates, ${sum('flagged')} flagged`;
    bench.meets('lost', single(sum('lost') + sum('refused')), note);
    bench.meets('unsettled', single(sum('unsettled')), note);
    bench.meets('unflagged', single(sum('unflagged')), note);
  });
  bench.notBuilt('items', "items of their own come with the bulk protocol, and `protocol: 'bulk'` does not exist yet");
}

function showElastic(bench: Bench<TargetId>, title: string, sample: Sample): void {
  const { lost = NaN, dropped = NaN, duplicates = NaN, aborted = NaN } = sample;
  const note = `${dropped} reported by onDrop, ${duplicates} duplicates unreported${aborted === 1 ? ', aborted with one error' : ''}`;
  bench.shows(`helpers.bulk, ${title}: lost`, single(lost), 'documents', note);
}
