import { type Bench, type Pairs, type Spread, spreadOf } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const STRINGIFY = 'JSON.stringify';
const WRITTEN = 'JSON.stringify, written to a buffer';
const LOOP = 'hand-written loop';
const OURS = 'ours, fire and forget';
const RECEIPTS = 'ours, a receipt per document';

const CANDIDATES = [
  [STRINGIFY, 'stringify'],
  [WRITTEN, 'written'],
  [LOOP, 'loop'],
  [OURS, 'ours'],
  [RECEIPTS, 'ourReceipts'],
] as const;

/** Megabytes: several times what a run allocates, so that nothing is collected while it is counted. */
const YOUNG_GENERATION_MB = 256;
const FLAGS = [
  '--expose-gc',
  `--min-semi-space-size=${YOUNG_GENERATION_MB}`,
  `--max-semi-space-size=${YOUNG_GENERATION_MB}`,
];

/** What a document costs the collector. Counted, not timed: other load on the machine changes nothing here. */
export async function measureAllocation(bench: Bench<TargetId>): Promise<void> {
  await bench.section('allocation', async (use) => {
    const documents = bench.scale === 'quick' ? 50_000 : 100_000;
    const sink = use(await startSink());
    const subjects = await Promise.all(
      CANDIDATES.map(async ([name, candidate]) =>
        use(await startSubject(name, 'allocating', { url: sink.url, candidate }, FLAGS)),
      ),
    );
    const counting = (counted: string) =>
      subjects.map((subject) => ({ name: subject.name, run: () => subject.run({ documents, counted }) }));
    const bytes = await bench.interleave(counting('bytes'), 'inCalls');
    const promises = await bench.interleave(counting('promises'), 'inCalls', { warmUps: 0 });
    const note = `${documents} documents of about 220 bytes`;
    bench.meets('allocated', beyondJson(bytes), `${note}; in the call, beyond what '${WRITTEN}' allocates`);
    bench.meets('promises', promises.of(OURS, 'inCalls'), `${note}; in the call`);
    for (const [name] of CANDIDATES) {
      const sent = `until it was sent ${bytes.of(name, 'inAll').measured.toFixed(0)} bytes`;
      bench.shows(`${name}: allocated in the call a document`, bytes.of(name, 'inCalls'), 'bytes', sent);
      const all = `until it was sent ${promises.of(name, 'inAll').measured.toFixed(4)}`;
      bench.shows(`${name}: promises in the call a document`, promises.of(name, 'inCalls'), 'promises', all);
    }
    const returned = 'the same resolved promise for all while there is room';
    bench.shows(
      `${OURS}: different objects that ${documents} calls returned`,
      bytes.of(OURS, 'returned'),
      'objects',
      returned,
    );
  });
}

function beyondJson(bytes: Pairs): Spread {
  const written = bytes.values(WRITTEN, 'inCalls');
  return spreadOf(bytes.values(OURS, 'inCalls').map((value, pair) => value - (written[pair] ?? NaN)));
}
