import { expectCount, type Sample, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { OutboxProcess } from '../outbox-process.js';
import { SinkProcess } from '../sink-process.js';
import type { OutboxBench } from '../targets.js';

const PATIENCE_MS = 60_000;
const HEALTHY = 'all healthy';
const HALF_DEAD = 'half on a dead endpoint';

/**
 * A backlog that becomes due at one time, by one transaction, while a worker listens: how long the healthy half of it waits when the other half is
 * for an endpoint that never answers, against how long it waits alone.
 */
export async function deadEndpoint(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  const healthy = bench.pick(2_000, 200);
  const sides: Subject[] = [];
  for (const [name, paths] of [
    [HEALTHY, ['/ok']],
    [HALF_DEAD, ['/hang', '/ok']],
  ] as const) {
    const url = await server.createDatabase(name.replaceAll(' ', '-'));
    const producer = use(await OutboxProcess.start(url, { role: 'producer' }));
    await producer.run({ action: 'endpoints', urls: paths.map((path) => sink.origin + path) });
    use(
      await OutboxProcess.start(url, {
        role: 'worker',
        listenConnectionString: url,
        requestTimeout: '2s',
        shutdownTimeout: '1s',
      }),
    );
    sides.push({ name, run: () => wait(sink, producer, healthy * paths.length, paths.length, healthy) });
  }
  const pairs = await bench.interleave(sides, 'p99');
  for (const name of [HEALTHY, HALF_DEAD])
    bench.shows(`wait of ${healthy} healthy deliveries, p99: ${name}`, pairs.of(name, 'p99'), 'ms');
  const note = 'what the dead endpoint did not take in one round is still there in the next';
  bench.meets('deadEndpoint', pairs.ratio('p99', HALF_DEAD, HEALTHY), note);
}

async function wait(
  sink: SinkProcess,
  producer: OutboxProcess,
  count: number,
  tenants: number,
  healthy: number,
): Promise<Sample> {
  await sink.run({ action: 'reset' });
  const { committedMs = NaN } = await producer.run({ action: 'burst', count, tenants });
  const arrived = await sink.run({
    action: 'wait',
    path: '/ok',
    expected: healthy,
    patienceMs: PATIENCE_MS,
    sinceMs: committedMs,
  });
  expectCount('healthy webhooks at the sink', arrived.unique ?? NaN, healthy);
  return arrived;
}
