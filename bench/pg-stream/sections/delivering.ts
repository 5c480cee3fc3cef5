import { expectCount, type Sample, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { chunksOf, type OpenLoad } from '../measuring/open-loop-writers.js';
import { StreamProcess } from '../stream-process.js';
import { OURS, RECOMMENDED, type StreamBench } from '../targets.js';

/** Ten runs of a service at 50 chunks a second each: no single writer has to keep up with all of them. */
const STREAMS = 10;
const PER_SECOND = 500;
const PATIENCE_MS = 30_000;

/**
 * From when an append was due to when its reader has the chunk: an open loop, so a slow append delays those behind it and is counted with them.
 * The peer delivers by NOTIFY and a query also within one process; ours needs neither there, so both ways are measured.
 */
export async function delivering(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const load: OpenLoad = { perSecond: PER_SECOND, seconds: bench.pick(10, 1), streams: STREAMS };
  const [ours, peer] = await Promise.all([
    sides(server, OURS, 'ours-live', use),
    sides(server, RECOMMENDED, 'peer-live', use),
  ]);
  bench.say('to readers in another process');
  const across = await bench.interleave(
    [ours, peer].map((side) => delivery(side, side.remote, load)),
    'p50',
  );
  bench.say('to readers in the same process');
  const within = await bench.interleave(
    [ours, peer].map((side) => delivery(side, side.local, load)),
    'p50',
  );
  for (const name of [OURS, RECOMMENDED]) {
    bench.shows(`append to a reader in another process, p50: ${name}`, across.of(name, 'p50'), 'ms');
    bench.shows(`append to a reader in another process, p99: ${name}`, across.of(name, 'p99'), 'ms');
    bench.shows(`append to a reader in the same process, p50: ${name}`, within.of(name, 'p50'), 'ms');
    bench.shows(`append to a reader in the same process, p99: ${name}`, within.of(name, 'p99'), 'ms');
  }
  bench.meets('acrossP50', across.ratio('p50', OURS, RECOMMENDED));
  bench.meets('acrossP99', across.ratio('p99', OURS, RECOMMENDED));
  bench.meets('withinP50', within.ratio('p50', OURS, RECOMMENDED));
  bench.meets('withinP99', within.ratio('p99', OURS, RECOMMENDED));
}

/** A writing process, a reading one, and one that does both; the last has a database of its own. */
interface Sides {
  readonly name: typeof OURS | typeof RECOMMENDED;
  readonly writer: StreamProcess;
  readonly remote: StreamProcess;
  readonly local: StreamProcess;
}

async function sides(server: DurableServer, name: Sides['name'], database: string, use: Use): Promise<Sides> {
  const url = await server.createDatabase(database);
  const writer = use(await StreamProcess.start(name, url));
  const remote = use(await StreamProcess.start(name, url));
  const local = use(await StreamProcess.start(name, await server.createDatabase(`${database}-local`)));
  await listen(remote, writer, STREAMS);
  await listen(local, local, STREAMS);
  return { name, writer, remote, local };
}

/** Readers that follow from now on, and are known to hear. */
export async function listen(reader: StreamProcess, writer: StreamProcess, streams: number): Promise<void> {
  await reader.run({ action: 'follow', streams, readersEach: 1 });
  const until = performance.now() + PATIENCE_MS;
  do {
    await writer.run({ action: 'warm', streams });
    if (performance.now() > until) throw new Error(`the readers of ${reader.name} hear nothing`);
  } while ((await reader.run({ action: 'heard' })).readers !== streams);
}

function delivery({ name, writer, local }: Sides, reader: StreamProcess, load: OpenLoad): Subject {
  return {
    name,
    run: async () => {
      await (reader === local ? local : writer).run({ action: 'write', ...load });
      const arrived = await reader.run({ action: 'collect', expected: chunksOf(load), patienceMs: PATIENCE_MS });
      expectAll(name, arrived, load);
      return arrived;
    },
  };
}

function expectAll(name: string, { received, disorder }: Sample, load: OpenLoad): void {
  expectCount(`chunks at the readers of ${name}`, received ?? NaN, chunksOf(load));
  expectCount(`chunks of ${name} that were not the next of their stream`, disorder ?? NaN, 0);
}
