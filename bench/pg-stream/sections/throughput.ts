import type { ReferenceFigure, Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import type { Action } from '../programs/actions.js';
import { StreamProcess } from '../stream-process.js';
import { DEFAULTS, FLOOR, OURS, RECOMMENDED, type StreamBench, type StreamTarget } from '../targets.js';

const RATE = 'chunksPerSecond';
const PEERS = [RECOMMENDED, DEFAULTS] as const;

/** Of the peer on the reference machine, Postgres 15.18, in the same process as its callers. */
const REFERENCE: Readonly<Partial<Record<StreamTarget, ReferenceFigure>>> = {
  oneWriter: figure('one awaiting writer', [680, 632]),
  oneStream: figure('32 callers on one stream', [1371, 1316]),
  many: figure('multi-write of 100', [2700, 3200]),
};

interface Comparison {
  readonly what: string;
  /** Against each of the peer's two settings. */
  readonly ids: readonly [StreamTarget, StreamTarget];
  readonly ours: Action;
  readonly theirs: Action;
}

interface FloorComparison {
  readonly what: string;
  readonly id: StreamTarget;
  readonly ours: Action;
  readonly floor: Action;
}

/** Appends a second, against the peer and against the floor. */
export async function throughput(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const start = async (name: typeof OURS | typeof FLOOR | (typeof PEERS)[number], database: string) =>
    use(await StreamProcess.start(name, await server.createDatabase(database)));
  const [ours, recommended, defaults, floor] = await Promise.all([
    start(OURS, 'ours'),
    start(RECOMMENDED, 'recommended'),
    start(DEFAULTS, 'defaults'),
    start(FLOOR, 'floor'),
  ]);
  const ms = bench.pick(3_000, 200);
  for (const comparison of againstPeer(ms)) await comparePeer(bench, comparison, [ours, recommended, defaults]);
  for (const comparison of againstFloor(ms)) await compareFloor(bench, comparison, ours, floor);
}

function againstPeer(ms: number): readonly Comparison[] {
  const appends = (callers: number, streams: number): Action => ({ action: 'append', callers, streams, ms });
  const batches: Action = { action: 'batch', callers: 1, streams: 1, ms };
  return [
    {
      what: 'one awaiting writer',
      ids: ['oneWriter', 'oneWriterDefaults'],
      ours: appends(1, 1),
      theirs: appends(1, 1),
    },
    { what: 'one call for 100 chunks', ids: ['many', 'manyDefaults'], ours: batches, theirs: batches },
    {
      what: '256 callers (peer: 32) on one stream',
      ids: ['oneStream', 'oneStreamDefaults'],
      ours: appends(256, 1),
      theirs: appends(32, 1),
    },
    {
      what: '256 callers (peer: 32) over 200 streams',
      ids: ['spread', 'spreadDefaults'],
      ours: appends(256, 200),
      theirs: appends(32, 200),
    },
  ];
}

/** Ours under producers, so that idempotency is on; the floor has none. */
function againstFloor(ms: number): readonly FloorComparison[] {
  const insert = (streams: number): Action => ({ action: 'insert', callers: 1, streams, ms });
  return [
    {
      what: 'one producer, 100 chunks a call',
      id: 'floorMany',
      ours: { action: 'writerBatches', callers: 1, streams: 1, ms },
      floor: insert(1),
    },
    {
      what: '256 callers of one producer',
      id: 'floorOneStream',
      ours: { action: 'writers', callers: 256, streams: 1, ms },
      floor: insert(1),
    },
    {
      what: '256 callers of 200 producers',
      id: 'floorSpread',
      ours: { action: 'writers', callers: 256, streams: 200, ms },
      floor: insert(200),
    },
  ];
}

async function comparePeer(
  bench: StreamBench,
  { what, ids, ours, theirs }: Comparison,
  [mine, ...peers]: readonly [StreamProcess, StreamProcess, StreamProcess],
): Promise<void> {
  bench.say(what);
  const pairs = await bench.interleave([mine.doing(ours), ...peers.map((peer) => peer.doing(theirs))], RATE);
  for (const name of [OURS, ...PEERS]) bench.shows(`${what}: ${name}`, pairs.of(name, RATE), 'chunks/s');
  PEERS.forEach((peer, nth) => bench.meets(ids[nth] as StreamTarget, pairs.ratio(RATE, OURS, peer)));
  const reference = REFERENCE[ids[0]];
  if (reference !== undefined) bench.compareWithReference(reference, pairs.of(RECOMMENDED, RATE));
}

async function compareFloor(
  bench: StreamBench,
  { what, id, ours, floor }: FloorComparison,
  mine: StreamProcess,
  theFloor: StreamProcess,
): Promise<void> {
  bench.say(`${what}, against ${FLOOR}`);
  const pairs = await bench.interleave([mine.doing(ours), theFloor.doing(floor)], RATE);
  bench.shows(`${what}: ${OURS}`, pairs.of(OURS, RATE), 'chunks/s');
  bench.shows(`${what}: ${FLOOR}`, pairs.of(FLOOR, RATE), 'chunks/s');
  bench.meets(id, pairs.ratio(RATE, OURS, FLOOR));
}

function figure(what: string, runs: readonly number[]): ReferenceFigure {
  return {
    name: `world-postgres, ${what}`,
    runs,
    dependsOn: ['cpu', 'fsync', 'loopback'],
    conditions: 'a shared machine, Postgres 15.18, chunks of about 200 bytes',
  };
}
