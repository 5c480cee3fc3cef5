import { setTimeout as sleep } from 'node:timers/promises';
import { type Sample, single, spreadOf, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { StreamProcess } from '../stream-process.js';
import { OURS, type StreamBench } from '../targets.js';

const STREAMS = 200;
/** Long enough to count single ticks; the default is 5 s. */
const TICK_MS = 500;

/**
 * What readers cost that wait: statements by the server's own count (pg_stat_statements), so that nothing is left out; those on the LISTEN
 * connection too.
 */
export async function waitingReaders(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const url = await server.createDatabase('waiting', { countsStatements: true });
  const readersEach = bench.pick(50, 5);
  const writer = use(await StreamProcess.start(OURS, url, { hints: 'off', pollInterval: '1h' }));
  const reader = use(await StreamProcess.start(OURS, url, { pollInterval: TICK_MS }));
  await writer.run({ action: 'warm', streams: STREAMS });
  await reader.run({ action: 'follow', streams: STREAMS, readersEach });
  await settle(reader, STREAMS);

  const ticksBefore = await reader.run({ action: 'stats' });
  const before = await server.statements(url);
  await sleep(bench.pick(20, 6) * TICK_MS);
  const statements = (await server.statements(url)) - before;
  const ticks = counted(await reader.run({ action: 'stats' }), 'pollQueries') - counted(ticksBefore, 'pollQueries');
  if (ticks === 0) throw new Error('no tick came: nothing was measured');
  const note = `${STREAMS * readersEach} readers on ${STREAMS} streams, ${ticks} ticks${bench.scale !== 'full' ? '; 10 000 readers in a full run' : ''}`;
  bench.meets('tick', single(statements / ticks), note);

  const perWake: number[] = [];
  for (let round = 0; round < bench.pick(20, 5); round++)
    perWake.push(await statementsOfOneWake(server, url, writer, reader));
  bench.meets(
    'wake',
    spreadOf(perWake),
    `${readersEach} readers on the stream; the append itself and the poll that found it are left out`,
  );
}

/**
 * The writer has no hints, so that nothing of its NOTIFYs is counted; the reader's poll wakes its readers. The append is one statement, as is each
 * tick.
 */
async function statementsOfOneWake(
  server: DurableServer,
  url: string,
  writer: StreamProcess,
  reader: StreamProcess,
): Promise<number> {
  const statsBefore = await reader.run({ action: 'stats' });
  const before = await server.statements(url);
  await writer.run({ action: 'warm', streams: 1 });
  await sleep(2 * TICK_MS);
  const all = (await server.statements(url)) - before;
  const stats = await reader.run({ action: 'stats' });
  if (counted(stats, 'slicesRead') === counted(statsBefore, 'slicesRead'))
    throw new Error('no reader was woken: nothing was measured');
  return all - 1 - (counted(stats, 'pollQueries') - counted(statsBefore, 'pollQueries'));
}

/** Until every reader has read what there is and waits. */
async function settle(reader: StreamProcess, streams: number): Promise<void> {
  for (let slices = -1; ;) {
    const stats = await reader.run({ action: 'stats' });
    if (counted(stats, 'waitingStreams') === streams && counted(stats, 'slicesRead') === slices) return;
    slices = counted(stats, 'slicesRead');
    await sleep(100);
  }
}

function counted(stats: Sample, name: string): number {
  const value = stats[name];
  if (value === undefined) throw new Error(`stats() does not tell ${name} any more`);
  return value;
}
