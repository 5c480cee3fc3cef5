import { type Bench, type Pairs, ratioOf, type ReferenceFigure, type Spread, type Use } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';
import { BATCH_BYTES, CONCURRENCY, OUR_FORGET_OPTIONS, OUR_OPTIONS, showSubject, WINDOW } from './common-work.js';

const LOOP = 'hand-written loop';
const PROMISE_LOOP = 'promise per document';
const FORGET = 'ours, fire and forget';
const RECEIPTS = 'ours, a receipt per document';
const ELASTIC = 'helpers.bulk, 1 MB x 4';
const ELASTIC_DEFAULTS = 'helpers.bulk, defaults';
const INFLUX = 'WriteApi, 1 MB x 4';
const INFLUX_DEFAULTS = 'WriteApi, defaults';
const OUR_BULK = 'ours, a receipt per document, bulk';
const LOOP_DISCARDED = 'hand-written loop, to a sink that discards';
const OUR_DEFAULTS = 'ours, a receipt per document, defaults';

const DOCUMENTS = { full: 200_000, short: 100_000, quick: 20_000 };
/** All that the buffer's default takes without letting calls wait. */
const DEFAULT_WINDOW = 10_000;

/**
 * For throughput, Elastic asks to find the best request size by trying, and to send from several workers:
 * https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/indexing-speed
 * So the helper runs with the requests that everybody has here, and with its defaults; the faster of the two, pair by pair, is the peer.
 */
const ELASTIC_OPTIONS = { flushBytes: BATCH_BYTES, concurrency: CONCURRENCY };

/**
 * The same for WriteApi. It bounds a batch by lines too, and requests at a time only by its agent's sockets. What nobody reaches turns zipping
 * off, which is on by default.
 */
const INFLUX_OPTIONS = { batchSize: 100_000, maxBatchBytes: BATCH_BYTES, connections: CONCURRENCY };
const NEVER_ZIPPED = { gzipThreshold: Number.MAX_SAFE_INTEGER };

const REFERENCES = [
  figure(LOOP, [263_823, 132_109]),
  figure(PROMISE_LOOP, [207_041, 124_319]),
  figure(ELASTIC, [144_446, 56_653]),
];

type Compression = 'none' | 'gzip';

interface Side {
  readonly name: string;
  readonly subject: string;
  readonly options: object;
  readonly window?: number;
  /** False: what it sends goes to a sink that lets it go by. */
  readonly isCounted?: boolean;
}

export async function measureThroughput(bench: Bench<TargetId>): Promise<void> {
  await bench.section('throughput, uncompressed', async (use) => {
    const documents = DOCUMENTS[bench.scale];
    const pairs = await compare(bench, use, 'none', documents);
    const note = `${documents} documents of about 220 bytes, uncompressed`;
    bench.meets('forget', pairs.ratio('perSecond', FORGET, LOOP), note);
    bench.meets('receipts', pairs.ratio('perSecond', RECEIPTS, PROMISE_LOOP), note);
    bench.meets(
      'elastic',
      againstFaster(pairs, ELASTIC, ELASTIC_DEFAULTS),
      `${note}; against the faster of its settings`,
    );
    bench.meets('cpu', pairs.ratio('cpuUsPerDocument', RECEIPTS, ELASTIC), note);
    for (const reference of REFERENCES) bench.compareWithReference(reference, pairs.of(reference.name, 'perSecond'));
    const overBulk = `${note}, both over _bulk: what of the distance is not the protocol's`;
    bench.shows('bulk: receipts against helpers.bulk', pairs.ratio('perSecond', OUR_BULK, ELASTIC), 'x', overBulk);
    const bulkCpu = pairs.ratio('cpuUsPerDocument', OUR_BULK, ELASTIC);
    bench.shows('bulk: CPU per document, receipts against helpers.bulk', bulkCpu, 'x', overBulk);
    showInflux(bench, pairs, 'uncompressed', note);
    showSink(bench, pairs, note);
    for (const name of pairs.subjects) showSubject(bench, pairs, name);
  });
  await bench.section('throughput, gzip', async (use) => {
    const documents = DOCUMENTS[bench.scale] / 2;
    const pairs = await compare(bench, use, 'gzip', documents);
    const note = `${documents} documents, gzip on both sides: the floors at level 1 as ours, the peers at the level 6 that they do not let be changed`;
    bench.shows('gzip: fire and forget against the loop', pairs.ratio('perSecond', FORGET, LOOP), 'x', note);
    bench.shows('gzip: receipts against the loop', pairs.ratio('perSecond', RECEIPTS, PROMISE_LOOP), 'x', note);
    bench.shows('gzip: receipts against helpers.bulk', pairs.ratio('perSecond', RECEIPTS, ELASTIC), 'x', note);
    showInflux(bench, pairs, 'gzip', note);
    for (const name of pairs.subjects) showSubject(bench, pairs, name, `${name}, gzip`);
  });
}

async function compare(bench: Bench<TargetId>, use: Use, compression: Compression, documents: number): Promise<Pairs> {
  const [counting, discarding] = [use(await startSink()), use(await startSink())];
  await discarding.reset('none', 'nothing');
  const subjects = await Promise.all(
    sidesOf(compression).map(async ({ name, subject, options, window = WINDOW, isCounted = true }) => {
      const { url } = isCounted ? counting : discarding;
      const remote = use(await startSubject(name, subject, { url, window, options, isCounted }));
      return { name, run: () => remote.run({ documents }) };
    }),
  );
  return bench.interleave(subjects, 'perSecond');
}

function sidesOf(compression: Compression): readonly Side[] {
  const floor = { maxBatchBytes: BATCH_BYTES, concurrency: CONCURRENCY, compression };
  const isGzip = compression === 'gzip';
  const influxZip = isGzip ? {} : NEVER_ZIPPED;
  const ours = { ...OUR_OPTIONS, compression };
  const sides: Side[] = [
    { name: LOOP, subject: 'loop', options: floor },
    { name: FORGET, subject: 'ours', options: { ...OUR_FORGET_OPTIONS, compression } },
    { name: PROMISE_LOOP, subject: 'promiseLoop', options: floor },
    { name: RECEIPTS, subject: 'ourReceipts', options: ours },
    { name: ELASTIC, subject: 'elastic', options: { ...ELASTIC_OPTIONS, compression: isGzip } },
    { name: INFLUX, subject: 'influx', options: { ...INFLUX_OPTIONS, ...influxZip } },
    { name: INFLUX_DEFAULTS, subject: 'influx', options: influxZip },
  ];
  if (isGzip) return sides;
  return [
    { name: LOOP_DISCARDED, subject: 'loop', options: floor, isCounted: false },
    ...sides,
    { name: ELASTIC_DEFAULTS, subject: 'elastic', options: {} },
    { name: OUR_BULK, subject: 'ourReceipts', options: { ...ours, protocol: 'bulk' } },
    { name: OUR_DEFAULTS, subject: 'ourReceipts', options: { compression }, window: DEFAULT_WINDOW },
  ];
}

/** Whether the sink, and not who sends, decides how fast all are: what it costs, and the fastest sender with a sink that does not look at what it gets. */
function showSink(bench: Bench<TargetId>, pairs: Pairs, note: string): void {
  const cost = ratioOf(pairs.values(LOOP, 'sinkUsPerDocument'), pairs.values(LOOP, 'cpuUsPerDocument'));
  const busy = `busy ${(pairs.of(LOOP, 'sinkBusy').measured * 100).toFixed(0)} % of the time`;
  bench.meets('sink', cost, `${note}; ${busy}; near 1 the sink would set the pace`);
  const counted = pairs.ratio('perSecond', LOOP, LOOP_DISCARDED);
  bench.shows(
    'the sink: loop against one to a sink that discards',
    counted,
    'x',
    `${note}; 1 when counting costs nothing`,
  );
}

/** Nothing is promised: WriteApi takes text, and confirms lists of it, where ours serialises and settles each document. */
function showInflux(bench: Bench<TargetId>, pairs: Pairs, what: string, note: string): void {
  const against = `${note}; against the faster of its settings, with the same lines as text`;
  bench.shows(`${what}: receipts against WriteApi`, againstFaster(pairs, INFLUX, INFLUX_DEFAULTS), 'x', against);
  const cpu = pairs.ratio('cpuUsPerDocument', RECEIPTS, INFLUX);
  bench.shows(`${what}: CPU per document, receipts against WriteApi`, cpu, 'x', note);
}

function againstFaster(pairs: Pairs, one: string, other: string): Spread {
  const others = pairs.values(other, 'perSecond');
  const faster = pairs.values(one, 'perSecond').map((value, pair) => Math.max(value, others[pair] ?? 0));
  return ratioOf(pairs.values(RECEIPTS, 'perSecond'), faster);
}

function figure(name: string, runs: readonly number[]): ReferenceFigure {
  return {
    name,
    runs,
    dependsOn: ['cpu'],
    conditions: '200 000 documents, no compression, 4 requests of 1 MB at a time',
  };
}
