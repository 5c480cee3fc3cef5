import { expectCount, type Sample, spreadOf, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { OutboxProcess } from '../outbox-process.js';
import { SinkProcess } from '../sink-process.js';
import type { OutboxBench } from '../targets.js';

const PER_SECOND = 100;
const PATHS = ['/a', '/b'];
const PATIENCE_MS = 20_000;

/** From when an event was due, in an open loop, to when its request is at the receiver; the machine is otherwise idle. */
export async function latency(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  const urls = PATHS.map((path) => sink.origin + path);

  const both = use(await OutboxProcess.start(await server.createDatabase('within'), { role: 'all' }));
  await both.run({ action: 'endpoints', urls });
  const within = await rounds(bench, sink, both);
  bench.meets('withinP50', spreadOf(within.map(({ p50 = NaN }) => p50)));
  bench.meets('withinP99', spreadOf(within.map(({ p99 = NaN }) => p99)));
  await both.stop();

  const url = await server.createDatabase('across');
  const producer = use(await OutboxProcess.start(url, { role: 'producer' }));
  await producer.run({ action: 'endpoints', urls });
  use(await OutboxProcess.start(url, { role: 'worker', listenConnectionString: url }));
  const across = await rounds(bench, sink, producer);
  bench.meets('acrossP50', spreadOf(across.map(({ p50 = NaN }) => p50)));
  bench.meets('acrossP99', spreadOf(across.map(({ p99 = NaN }) => p99)));
}

async function rounds(bench: OutboxBench, sink: SinkProcess, producer: OutboxProcess): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round <= bench.pairs; round++) {
    const sample = await oneRound(sink, producer, bench.pick(20, 1));
    if (round > 0) samples.push(sample);
  }
  return samples;
}

async function oneRound(sink: SinkProcess, producer: OutboxProcess, seconds: number): Promise<Sample> {
  await sink.run({ action: 'reset' });
  const { sent = NaN } = await producer.run({
    action: 'sendAtRate',
    perSecond: PER_SECOND,
    seconds,
    tenants: PATHS.length,
  });
  const arrived = await sink.run({ action: 'wait', path: '/', expected: sent, patienceMs: PATIENCE_MS });
  expectCount('different webhooks at the sink', arrived.unique ?? NaN, sent);
  expectCount('requests at the sink', arrived.requests ?? NaN, sent);
  return arrived;
}
