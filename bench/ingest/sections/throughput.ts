import { type Bench, type Pairs, ratioOf, type ReferenceFigure, type Spread, type Use } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const LOOP = 'hand-written loop';
const PROMISE_LOOP = 'promise per document';
const FORGET = 'ours, fire and forget';
const RECEIPTS = 'ours, a receipt per document';
const ELASTIC = 'helpers.bulk, 1 MB x 4';
const ELASTIC_DEFAULTS = 'helpers.bulk, defaults';
const OUR_DEFAULTS = 'ours, a receipt per document, defaults';

/** The same work for everybody: requests of a megabyte, four at a time. */
const BATCH_BYTES = 1_000_000;
const CONCURRENCY = 4;
/** Documents that callers have under way: more than fit into those requests, so that nobody runs dry. */
const WINDOW = 40_000;
const OURS = { maxBatchBytes: BATCH_BYTES, maxBatchDocs: 100_000, concurrency: CONCURRENCY, maxBufferDocs: 100_000 };
/** All that the buffer's default takes without letting calls wait. */
const DEFAULT_WINDOW = 10_000;

/**
 * For throughput, Elastic asks to find the best request size by trying, and to send from several workers:
 * https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/indexing-speed
 * So the helper runs with the requests that everybody has here, and with its defaults; the faster of the two, pair by pair, is the peer.
 */
const ELASTIC_OPTIONS = { flushBytes: BATCH_BYTES, concurrency: CONCURRENCY };

const REFERENCES = [
  figure(LOOP, [263_823, 132_109]),
  figure(PROMISE_LOOP, [207_041, 124_319]),
  figure(ELASTIC, [144_446, 56_653]),
];

type Compression = 'none' | 'gzip';

export async function measureThroughput(bench: Bench<TargetId>): Promise<void> {
  await bench.section('throughput, uncompressed', async (use) => {
    const documents = bench.pick(200_000, 20_000);
    const pairs = await compare(bench, use, 'none', documents);
    const note = `${documents} documents of about 220 bytes, uncompressed`;
    bench.meets('forget', pairs.ratio('perSecond', FORGET, LOOP), note);
    bench.meets('receipts', pairs.ratio('perSecond', RECEIPTS, PROMISE_LOOP), note);
    bench.meets('elastic', againstElastic(pairs), `${note}; against the faster of its two settings`);
    bench.meets('cpu', pairs.ratio('cpuUsPerDocument', RECEIPTS, ELASTIC), note);
    for (const reference of REFERENCES) bench.compareWithReference(reference, pairs.of(reference.name, 'perSecond'));
    show(bench, pairs, 'none');
  });
  await bench.section('throughput, gzip', async (use) => {
    const documents = bench.pick(100_000, 10_000);
    const pairs = await compare(bench, use, 'gzip', documents);
    const note = `${documents} documents, gzip on both sides`;
    bench.shows('gzip: fire and forget against the loop', pairs.ratio('perSecond', FORGET, LOOP), 'x', note);
    bench.shows('gzip: receipts against the loop', pairs.ratio('perSecond', RECEIPTS, PROMISE_LOOP), 'x', note);
    bench.shows('gzip: receipts against helpers.bulk', pairs.ratio('perSecond', RECEIPTS, ELASTIC), 'x', note);
    show(bench, pairs, 'gzip');
  });
}

async function compare(bench: Bench<TargetId>, use: Use, compression: Compression, documents: number): Promise<Pairs> {
  const { url } = use(await startSink());
  const floor = { maxBatchBytes: BATCH_BYTES, concurrency: CONCURRENCY, compression };
  const isGzip = compression === 'gzip';
  const sides = [
    { name: LOOP, subject: 'loop', options: floor },
    { name: FORGET, subject: 'ours', options: { ...OURS, compression } },
    { name: PROMISE_LOOP, subject: 'promiseLoop', options: floor },
    { name: RECEIPTS, subject: 'ourReceipts', options: { ...OURS, compression } },
    { name: ELASTIC, subject: 'elastic', options: { ...ELASTIC_OPTIONS, compression: isGzip } },
  ];
  const defaults = [
    { name: ELASTIC_DEFAULTS, subject: 'elastic', options: {} },
    { name: OUR_DEFAULTS, subject: 'ourReceipts', options: { compression }, window: DEFAULT_WINDOW },
  ];
  const subjects = await Promise.all(
    [...sides, ...(isGzip ? [] : defaults)].map(async ({ name, subject, options, ...more }) => {
      const remote = use(await startSubject(name, subject, { url, window: WINDOW, options, ...more }));
      return { name, run: () => remote.run({ documents }) };
    }),
  );
  return bench.interleave(subjects, 'perSecond');
}

function show(bench: Bench<TargetId>, pairs: Pairs, compression: Compression): void {
  for (const name of pairs.subjects) {
    const title = compression === 'gzip' ? `${name}, gzip` : name;
    bench.shows(title, pairs.of(name, 'perSecond'), 'documents/s');
    bench.shows(`${title}: CPU`, pairs.of(name, 'cpuUsPerDocument'), 'us/document');
    bench.shows(`${title}: memory`, pairs.of(name, 'rssMb'), 'MB');
  }
}

function againstElastic(pairs: Pairs): Spread {
  const defaults = pairs.values(ELASTIC_DEFAULTS, 'perSecond');
  const faster = pairs.values(ELASTIC, 'perSecond').map((value, pair) => Math.max(value, defaults[pair] ?? 0));
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
