import { type Bench, type Pairs, spreadOf } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const OURS = 'lone ingestSync';
const POST = 'bare POST';
const RATE = 50;
const DURATION_MS = { full: 10_000, short: 1_500, quick: 400 };

/** A caller with one document and nobody else's to travel with must not pay for batching. Open loop, so a slow answer counts for those after it. */
export async function measureLoneCaller(bench: Bench<TargetId>): Promise<void> {
  await bench.section('a lone caller', async (use) => {
    const sink = use(await startSink());
    const subjects = [
      use(await startSubject(POST, 'lonePost', { url: sink.url })),
      use(await startSubject(OURS, 'loneOurs', { url: sink.url })),
    ];
    const run = { ratePerSecond: RATE, durationMs: DURATION_MS[bench.scale] };
    const told = subjects.map((subject) => ({ name: subject.name, run: () => subject.run(run) }));
    const pairs = await bench.interleave(told, 'p99');
    bench.meets('lone', difference(pairs), `${RATE}/s, ${(RATE * run.durationMs) / 1000} calls a pair, maxDelay 1 s`);
    for (const name of [POST, OURS])
      for (const figure of ['p50', 'p99', 'max']) bench.shows(`${name}: ${figure}`, pairs.of(name, figure), 'ms');
  });
}

function difference(pairs: Pairs) {
  const bare = pairs.values(POST, 'p99');
  return spreadOf(pairs.values(OURS, 'p99').map((value, pair) => value - (bare[pair] ?? NaN)));
}
