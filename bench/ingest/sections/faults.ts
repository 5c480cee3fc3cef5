import { type Bench, type RemoteSubject, type Sample, single } from '../../harness/index.js';
import type { Fault } from '../sink/fault.js';
import type { SinkClient } from '../sink/sink-client.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const FAULTS: readonly (readonly [Fault, string])[] = [
  ['second-429', 'every second request 429'],
  ['second-503', 'every second request 503'],
  ['fifth-reset', 'every fifth request stored, then reset'],
];

interface Sides {
  readonly sink: SinkClient;
  readonly ours: RemoteSubject;
  readonly elastic: RemoteSubject;
  readonly influx: RemoteSubject;
}

/** Each fault once: what is counted are documents, not time. */
export async function measureFaults(bench: Bench<TargetId>): Promise<void> {
  await bench.section('faults', async (use) => {
    const sink = use(await startSink());
    const { url } = sink;
    const [ours, elastic, influx] = await Promise.all([
      startSubject('ours', 'oursUnderFaults', { url }),
      startSubject('helpers.bulk', 'elasticUnderFaults', { url }),
      startSubject('WriteApi', 'influxUnderFaults', { url }),
    ]);
    const sides = { sink, ours: use(ours), elastic: use(elastic), influx: use(influx) };
    await measureRequests(bench, sides);
    await measureItems(bench, sides);
    await measureBurst(bench, sides);
  });
}

/** Whole requests refused, and answers that get lost. */
async function measureRequests(bench: Bench<TargetId>, { ours, elastic, influx }: Sides): Promise<void> {
  const documents = bench.pick(50_000, 20_000);
  const verdicts: Sample[] = [];
  for (const [fault, title] of FAULTS) {
    verdicts.push(await ours.run({ fault, documents }));
    showElastic(bench, title, await elastic.run({ fault, documents }));
    showInflux(bench, title, await influx.run({ fault, documents }));
  }
  const sum = (figure: string): number => verdicts.reduce((total, verdict) => total + (verdict[figure] ?? NaN), 0);
  const note = `${FAULTS.length} faults, once each, ${documents} documents; ${sum('duplicates')} duplicates, ${sum('flagged')} flagged`;
  bench.meets('lost', single(sum('lost') + sum('refused')), note);
  bench.meets('unsettled', single(sum('unsettled')), note);
  bench.meets('unflagged', single(sum('unflagged')), note);
}

/** Documents that a bulk answer refuses one by one. */
async function measureItems(bench: Bench<TargetId>, { sink, ours, elastic }: Sides): Promise<void> {
  const run = { fault: 'items-429', documents: bench.pick(50_000, 20_000) };
  const verdict = await ours.run({ ...run, protocol: 'bulk' });
  const { lost = NaN, refused = NaN, unsettled = NaN, duplicates = NaN, accepted = NaN } = verdict;
  const { busyItems } = await sink.counts();
  if (busyItems === 0) throw new Error('The sink refused no item: what was to be measured did not happen.');
  const note = `once, ${run.documents} documents, protocol bulk; ${busyItems} items refused and tried again, ${accepted} accepted, ${duplicates} duplicates`;
  bench.meets('items', single(lost + refused + unsettled + duplicates), note);
  showElastic(bench, 'a tenth of the items 429', await elastic.run(run));
}

/** More at once than anybody's buffer takes, and `close()` at once: whoever has to stop learns what became of it, or does not. */
async function measureBurst(bench: Bench<TargetId>, { ours, elastic, influx }: Sides): Promise<void> {
  const documents = bench.scale === 'quick' ? 50_000 : 200_000;
  const run = { fault: 'none', documents, isBurst: true };
  const title = `a burst of ${documents}, then close`;
  const { lost = NaN, unsettled = NaN, refused = NaN, accepted = NaN, unflagged = NaN } = await ours.run(run);
  const note = `once, ${documents} documents without waiting for room; ${accepted} accepted and ${refused} discarded, each known when close() resolved`;
  bench.meets('burst', single(lost + unsettled + unflagged), note);
  bench.shows(`ours, ${title}: discarded, and said so`, single(refused), 'documents', 'once');
  showElastic(bench, title, await elastic.run(run));
  showInflux(bench, title, await influx.run(run));
}

function showElastic(bench: Bench<TargetId>, title: string, sample: Sample): void {
  const { lost = NaN, dropped = NaN, duplicates = NaN, aborted = NaN } = sample;
  const note = `once; ${dropped} reported by onDrop, ${duplicates} duplicates unreported${aborted === 1 ? ', aborted with one error' : ''}`;
  bench.shows(`helpers.bulk, ${title}: lost`, single(lost), 'documents', note);
}

function showInflux(bench: Bench<TargetId>, title: string, sample: Sample): void {
  const { lost = NaN, duplicates = NaN, unconfirmed = NaN } = sample;
  const note = `once; ${unconfirmed} unconfirmed when close() resolved, ${duplicates} duplicates unreported`;
  bench.shows(`WriteApi, ${title}: lost`, single(lost), 'documents', note);
}
