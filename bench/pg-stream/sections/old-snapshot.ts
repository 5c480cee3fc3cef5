import { median, ratioOf, spreadOf, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { openOldSnapshot } from '../../postgres/old-snapshot.js';
import { StreamProcess } from '../stream-process.js';
import { OURS, type StreamBench } from '../targets.js';

const PER_SECOND = 500;

/** Somebody's long transaction keeps every old version of the stream's row: does the append walk over them? */
export async function oldSnapshot(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const url = await server.createDatabase('old-snapshot');
  const ours = use(await StreamProcess.start(OURS, url));
  const seconds = bench.pick(10, 1);
  const round = async () =>
    (await ours.run({ action: 'write', perSecond: PER_SECOND, seconds, streams: 1 })).p99 ?? NaN;
  await round();
  const without: number[] = [];
  for (let nth = 0; nth < bench.pick(6, 3); nth++) without.push(await round());
  const snapshot = await openOldSnapshot(url);
  const under: number[] = [];
  try {
    const minutes = bench.pick(10, 0.07);
    const until = performance.now() + minutes * 60_000;
    while (performance.now() < until) under.push(await round());
  } finally {
    await snapshot.end();
  }
  // What counts is how it is at the end, when the most versions are kept.
  const last = under.slice(-Math.min(6, Math.ceil(under.length / 2)));
  const baseline = median(without);
  bench.shows('append p99 at 500/s on one stream', spreadOf(without), 'ms');
  bench.shows('append p99 under an old snapshot, at its end', spreadOf(last), 'ms');
  const note = `${under.length * seconds} s under the snapshot${bench.scale !== 'full' ? '; 10 min in a full run' : ''}`;
  bench.meets(
    'oldSnapshot',
    ratioOf(
      last,
      last.map(() => baseline),
    ),
    note,
  );
}
