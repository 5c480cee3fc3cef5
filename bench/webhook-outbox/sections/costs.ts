import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expectCount, single, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { OutboxProcess } from '../outbox-process.js';
import { SinkProcess } from '../sink-process.js';
import type { OutboxBench } from '../targets.js';

const PRODUCERS = 32;
const WITH = 'with wake-ups';
const WITHOUT = 'without wake-ups';

/** Producers with a relay elsewhere, which listens: what does telling it cost their commits? */
export async function wakeUps(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sides: Subject[] = [];
  for (const [name, hints] of [
    [WITH, 'on'],
    [WITHOUT, 'off'],
  ] as const) {
    const url = await server.createDatabase(name.replaceAll(' ', '-'));
    const producer = use(await OutboxProcess.start(url, { role: 'producer', hints }, { poolSize: PRODUCERS }));
    await producer.run({ action: 'endpoints', urls: ['http://127.0.0.1:4099/nobody'] });
    const listener = new pg.Client({ connectionString: url });
    await listener.connect();
    await listener.query('LISTEN bench');
    use({ stop: () => listener.end() });
    sides.push({ name, run: () => producer.run({ action: 'commit', callers: PRODUCERS, ms: bench.pick(3_000, 400) }) });
  }
  const pairs = await bench.interleave(sides, 'perSecond');
  for (const name of [WITH, WITHOUT])
    bench.shows(`producers' commits a second ${name}`, pairs.of(name, 'perSecond'), '/s');
  bench.meets(
    'wakeUps',
    pairs.ratio('perSecond', WITH, WITHOUT),
    `${PRODUCERS} producers, a row of their own and an event each`,
  );
}

/** A process with a relay and a listener, and nothing to do; counted by the server. */
export async function idle(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const url = await server.createDatabase('idle', { countsStatements: true });
  const sink = use(await SinkProcess.start());
  const app = use(await OutboxProcess.start(url, { role: 'all', listenConnectionString: url }));
  await app.run({ action: 'endpoints', urls: [`${sink.origin}/ok`] });
  await app.run({ action: 'send', count: 10, tenants: 1 });
  await sink.run({ action: 'wait', path: '/ok', expected: 10, patienceMs: 10_000 });
  await sleep(2_000);
  const seconds = bench.pick(60, 4);
  await server.forgetStatements();
  await sleep(seconds * 1_000);
  const perSecond = (await server.statements(url)) / seconds;
  const [most] = await server.topStatements(url, 1);
  bench.meets(
    'idle',
    single(perSecond),
    `most frequent: ${most?.query.replaceAll(/\s+/g, ' ').slice(0, 60) ?? 'none'}`,
  );
}

const RECEIVERS = 64;

/** 64 receivers that answer 200 and then never stop sending: what does a worker keep of it? */
export async function endlessBodies(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  const url = await server.createDatabase('endless');
  const app = use(await OutboxProcess.start(url, { role: 'all' }, { nodeFlags: ['--expose-gc'] }));
  const paths = ['/ok', ...Array.from({ length: RECEIVERS }, (_, nth) => `/endless/${nth}`)];
  await app.run({ action: 'endpoints', urls: paths.map((path) => sink.origin + path) });
  // Ordinary work first: what a process needs once says nothing about bodies.
  const warm = bench.pick(2_000, 300);
  await app.run({ action: 'send', count: warm, tenants: 1 });
  await sink.run({ action: 'wait', path: '/ok', expected: warm, patienceMs: 30_000 });
  await app.run({ action: 'memory' });
  const { rss: before = NaN } = await app.run({ action: 'memory' });
  const each = bench.pick(50, 5);
  await app.run({ action: 'send', count: each * paths.length, tenants: paths.length });
  const { unique = NaN } = await sink.run({
    action: 'wait',
    path: '/endless',
    expected: each * RECEIVERS,
    patienceMs: 60_000,
  });
  expectCount('webhooks to endless receivers', unique, each * RECEIVERS);
  await sleep(1_000);
  const { peakRss = NaN } = await app.run({ action: 'memory' });
  const { delivered = NaN } = await app.run({ action: 'states' });
  expectCount('webhooks recorded as delivered', delivered, warm + each * paths.length);
  bench.meets('endless', single(peakRss - before), `the highest of ${each} answers of each`);
}
