import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expectCount, type Sample, single, type Subject, type Use } from '../../harness/index.js';
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
const ENDLESS = 'endless bodies';
const CLOSING = 'no bodies, closing each connection';

/**
 * 64 receivers that answer 200 and then never stop sending: what does a worker keep of it? Each such answer costs a connection, so beside it stand
 * 64 ordinary receivers that close theirs. Each time in a process of its own: memory that was grown once is there for the next.
 */
export async function endlessBodies(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  let nth = 0;
  const sides = [
    [ENDLESS, '/endless'],
    [CLOSING, '/closing'],
  ] as const;
  const pairs = await bench.interleave(
    sides.map(([name, path]) => ({
      name,
      run: async () => growth(bench, sink, await server.createDatabase(`bodies-${nth++}`), path),
    })),
    'grownMB',
    { pairs: bench.pick(5, 2), warmUps: 0 },
  );
  const note = `the highest of ${answersEach(bench)} answers of each`;
  bench.shows(`${RECEIVERS} receivers with ${CLOSING}: memory over before`, pairs.of(CLOSING, 'grownMB'), 'MB', note);
  bench.meets('endless', pairs.of(ENDLESS, 'grownMB'), note);
}

async function growth(bench: OutboxBench, sink: SinkProcess, url: string, path: string): Promise<Sample> {
  await sink.run({ action: 'reset' });
  const app = await OutboxProcess.start(url, { role: 'all' }, { nodeFlags: ['--expose-gc'] });
  try {
    const paths = ['/ok', ...Array.from({ length: RECEIVERS }, (_, nth) => `${path}/${nth}`)];
    await app.run({ action: 'endpoints', urls: paths.map((path) => sink.origin + path) });
    // Ordinary work first: what a process needs once says nothing about bodies.
    const warm = bench.pick(2_000, 300);
    await app.run({ action: 'send', count: warm, tenants: 1 });
    await sink.run({ action: 'wait', path: '/ok', expected: warm, patienceMs: 30_000 });
    await app.run({ action: 'memory' });
    const { rss: before = NaN } = await app.run({ action: 'memory' });
    const each = answersEach(bench);
    await app.run({ action: 'send', count: each * paths.length, tenants: paths.length });
    const expected = each * RECEIVERS;
    const { unique = NaN } = await sink.run({ action: 'wait', path, expected, patienceMs: 60_000 });
    expectCount(`webhooks to ${path}`, unique, expected);
    await sleep(1_000);
    const { peakRss = NaN } = await app.run({ action: 'memory' });
    const { delivered = NaN } = await app.run({ action: 'states' });
    expectCount('webhooks recorded as delivered', delivered, warm + each * paths.length);
    return { grownMB: peakRss - before };
  } finally {
    await app.stop();
  }
}

function answersEach(bench: OutboxBench): number {
  return bench.pick(50, 5);
}
