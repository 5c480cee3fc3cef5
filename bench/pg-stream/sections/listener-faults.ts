import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy } from '@nest-baton/testing';
import { type Sample, single, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { chunksOf, type OpenLoad } from '../measuring/open-loop-writers.js';
import { StreamProcess } from '../stream-process.js';
import { OURS, type StreamBench } from '../targets.js';
import { listen } from './delivering.js';

const STREAMS = 10;
const PER_SECOND = 500;
const PATIENCE_MS = 30_000;

/** A writing process, and a reading one whose LISTEN goes through a proxy. */
interface Pair {
  readonly database: string;
  readonly writer: StreamProcess;
  readonly reader: StreamProcess;
  readonly proxy: FaultProxy;
  readonly pollMs: number;
}

/**
 * What the readers of another process notice when their listener is killed, or when its path swallows everything without an end. The processes have
 * no handler for what nobody caught: it would end them, and with them this section.
 */
export async function listenerFaults(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const database = 'listener-faults';
  const url = await server.createDatabase(database);
  const proxy = use(await FaultProxy.start({ target: url }));
  const pollMs = bench.pick(5_000, 1_000);
  const writer = use(await StreamProcess.start(OURS, url));
  const reader = use(await StreamProcess.start(OURS, url, { listenConnectionString: proxy.url, pollInterval: pollMs }));
  await listen(reader, writer, STREAMS);
  const pair: Pair = { database, writer, reader, proxy, pollMs };
  const baseline = await underLoad(pair, { seconds: bench.pick(10, 1) }, () => Promise.resolve());
  await killed(bench, server, pair, baseline);
  await blackHoled(bench, pair, baseline);
}

async function killed(bench: StreamBench, server: DurableServer, pair: Pair, baseline: Sample): Promise<void> {
  let kills = 0;
  const arrived = await underLoad(pair, { seconds: bench.pick(60, 3) }, async (isOver) => {
    while (!isOver()) {
      kills += await server.postgres.terminateBackends({ database: pair.database, query: 'LISTEN%' });
      await sleep(1_000);
    }
  });
  const { reconnects = NaN } = await pair.reader.run({ action: 'stats' });
  if (kills === 0 || !(reconnects > 0)) throw new Error('no listener was killed: nothing was measured');
  const note = `killed ${kills} times, no error uncaught`;
  bench.meets('killedLost', single(missing(arrived)), note);
  bench.meets('killedDelay', single(extraMs(arrived, baseline, pair)), note);
}

async function blackHoled(bench: StreamBench, pair: Pair, baseline: Sample): Promise<void> {
  const before = await pair.reader.run({ action: 'stats' });
  // A probe every 4 s, and two misses of 2 s: about 8 s after the last echo.
  const patienceMs = bench.pick(30_000, 12_000);
  let foundMs: number | undefined;
  const arrived = await underLoad(pair, { seconds: patienceMs / 1_000 }, async () => {
    // Only the connection that is there: the next one gets through, as after the loss of a route's state.
    for (const connection of pair.proxy.connections) connection.blackHole();
    foundMs = await isFound(pair.reader, before, patienceMs);
  });
  await pair.proxy.heal();
  if (pair.proxy.counts.swallowed.toClient === 0) throw new Error('nothing was swallowed: nothing was measured');
  bench.meets('holeLost', single(missing(arrived)));
  bench.meets('holeDelay', single(extraMs(arrived, baseline, pair)), `poll interval ${pair.pollMs} ms`);
  if (foundMs !== undefined) bench.meets('holeFound', single(foundMs / 1_000));
  else bench.meets('holeFound', single(patienceMs / 1_000), 'not found by then; nobody waited longer');
}

/** Milliseconds until the reader's process knows that its listener is gone, or has another one. */
async function isFound(reader: StreamProcess, before: Sample, patienceMs: number): Promise<number | undefined> {
  const begun = performance.now();
  while (performance.now() - begun < patienceMs) {
    const stats = await reader.run({ action: 'stats' });
    if (stats.isListening === 0 || (stats.reconnects ?? NaN) > (before.reconnects ?? NaN))
      return performance.now() - begun;
    await sleep(50);
  }
  return undefined;
}

/** Writes for so long, with the fault meanwhile, and waits for everything to arrive. */
async function underLoad(
  { writer, reader }: Pair,
  { seconds }: { readonly seconds: number },
  fault: (isOver: () => boolean) => Promise<void>,
): Promise<Sample> {
  const load: OpenLoad = { perSecond: PER_SECOND, seconds, streams: STREAMS };
  let isOver = false;
  const writing = writer.run({ action: 'write', ...load }).finally(() => (isOver = true));
  await Promise.all([writing, fault(() => isOver)]);
  const expected = chunksOf(load);
  return { expected, ...(await reader.run({ action: 'collect', expected, patienceMs: PATIENCE_MS })) };
}

function missing({ expected = NaN, received = NaN, disorder = NaN }: Sample): number {
  return Math.abs(expected - received) + disorder;
}

/** The latest chunk against the late ones of an ordinary run. */
function extraMs({ max = NaN }: Sample, { p99 = NaN }: Sample, { pollMs }: Pair): number {
  return max - p99 - pollMs;
}
