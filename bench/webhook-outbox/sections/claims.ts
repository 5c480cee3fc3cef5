import { setTimeout as sleep } from 'node:timers/promises';
import { expectCount, type Sample, spreadOf, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { openOldSnapshot } from '../../postgres/old-snapshot.js';
import { OutboxProcess } from '../outbox-process.js';
import { SinkProcess } from '../sink-process.js';
import type { OutboxBench } from '../targets.js';

/** For a first claim, on a machine that is busy with other things. */
const CLAIM_PATIENCE_MS = 10_000;

/** Of the receivers, while what a claim costs is measured: 32 slots for each of ten are 1 600 requests a second, and the processor is not full. */
const THINK_MS = 200;

type Point = readonly [number, number];

/** What a claim costs with a large backlog, under an old snapshot, and as it grows. */
export async function claims(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  await millionPending(bench, server, sink);
  await oldSnapshot(bench, server, sink, use);
  await scale(bench, server, sink);
}

/**
 * The relay times its claims itself, so with receivers that answer at once it mostly tells how long its own event loop takes for hundreds of answers:
 * that is shown too, but it says nothing about the backlog.
 */
async function millionPending(bench: OutboxBench, server: DurableServer, sink: SinkProcess): Promise<void> {
  const count = bench.pick(1_000_000, 20_000);
  const load = { count, endpoints: 10, rounds: bench.pick(9, 2), roundMs: bench.pick(5_000, 700) };
  await sink.run({ action: 'think', ms: THINK_MS });
  const [calm, full] = await withBacklog(server, sink, load, async (app) => {
    // Connections make their plans, and all slots are filled.
    await claimTimes(app, { ...load, rounds: 1 });
    const whileThinking = await claimTimes(app, load);
    await sink.run({ action: 'think', ms: 0 });
    return [whileThinking, await claimTimes(app, { ...load, rounds: bench.pick(3, 1) })] as const;
  });
  const size = `${count} pending${bench.scale !== 'full' ? '; 1 M in a full run' : ''}`;
  const p50 = (rounds: readonly Sample[]) => spreadOf(rounds.map((round) => round.p50 ?? NaN));
  const p99 = (rounds: readonly Sample[]) => spreadOf(rounds.map((round) => round.p99 ?? NaN));
  bench.meets('millionClaim', p99(calm), `${size}; the other half delivered meanwhile, at 1 600/s`);
  bench.shows('claim p50 with that backlog', p50(calm), 'ms');
  const note = 'the same, delivered as fast as two cores can: most of it is the event loop';
  bench.shows('claim p50 with that backlog, receivers that answer at once', p50(full), 'ms', note);
  bench.shows('claim p99 with that backlog, receivers that answer at once', p99(full), 'ms', note);
}

/** Dead versions stay in the indexes that a claim walks: the later, the more. */
async function oldSnapshot(bench: OutboxBench, server: DurableServer, sink: SinkProcess, use: Use): Promise<void> {
  const url = await server.createDatabase('outbox-old-snapshot');
  const app = use(await OutboxProcess.start(url, { role: 'all' }));
  await app.run({ action: 'endpoints', urls: pathsOf(4).map((path) => sink.origin + path) });
  const snapshot = await openOldSnapshot(url);
  const rounds: Sample[] = [];
  let total = 0;
  try {
    const seconds = bench.pick(20, 1);
    for (let round = 0; round < bench.pick(30, 4); round++) {
      await sink.run({ action: 'reset' });
      const { sent = NaN } = await app.run({ action: 'sendAtRate', perSecond: 500, seconds, tenants: 4 });
      const { unique = NaN } = await sink.run({ action: 'wait', path: '/', expected: sent, patienceMs: 60_000 });
      expectCount('webhooks at the sink under an old snapshot', unique, sent);
      rounds.push(await app.run({ action: 'claims' }));
      total += seconds;
    }
  } finally {
    await snapshot.end();
  }
  // What counts is how it is at the end.
  const last = rounds.slice(-Math.ceil(rounds.length / 5)).map(({ p99 = NaN }) => p99);
  const note = `${total} s at 500/s under the snapshot${bench.scale !== 'full' ? '; 10 min in a full run' : ''}; the last fifth of it`;
  bench.meets('oldSnapshotClaim', spreadOf(last), note);
}

async function scale(bench: OutboxBench, server: DurableServer, sink: SinkProcess): Promise<void> {
  const roundMs = bench.pick(5_000, 500);
  const byBacklog: Point[][] = [[], []];
  for (const count of bench.pick([1_000, 10_000, 100_000, 1_000_000], [1_000, 10_000])) {
    const [sample = {}] = await claimRounds(server, sink, { count, endpoints: 10, rounds: 1, roundMs });
    byBacklog[0]?.push([count, sample.p50 ?? NaN]);
    byBacklog[1]?.push([count, sample.p99 ?? NaN]);
  }
  bench.curve({
    file: 'claim-by-backlog',
    title: 'A claim, over pending deliveries, half of them for a dead endpoint',
    xLabel: 'pending',
    ...linesOf(byBacklog),
  });
  const byEndpoints: Point[][] = [[], []];
  for (const endpoints of bench.pick([1, 10, 100, 1_000], [1, 100])) {
    const [sample = {}] = await claimRounds(server, sink, {
      count: bench.pick(100_000, 5_000),
      endpoints,
      rounds: 1,
      roundMs,
    });
    byEndpoints[0]?.push([endpoints, sample.p50 ?? NaN]);
    byEndpoints[1]?.push([endpoints, sample.p99 ?? NaN]);
  }
  bench.curve({
    file: 'claim-by-endpoints',
    title: 'A claim, over endpoints with a backlog',
    xLabel: 'endpoints',
    ...linesOf(byEndpoints),
  });
}

interface ClaimLoad {
  readonly count: number;
  readonly endpoints: number;
  readonly rounds: number;
  readonly roundMs: number;
}

async function claimRounds(server: DurableServer, sink: SinkProcess, load: ClaimLoad): Promise<readonly Sample[]> {
  return withBacklog(server, sink, load, (app) => claimTimes(app, load));
}

/** A backlog, the oldest half of it on a dead endpoint; the rest is delivered meanwhile. */
async function withBacklog<T>(
  server: DurableServer,
  sink: SinkProcess,
  load: ClaimLoad,
  measure: (app: OutboxProcess) => Promise<T>,
): Promise<T> {
  const url = await server.createDatabase(`backlog-${databases++}`);
  const app = await OutboxProcess.start(url, { role: 'all', shutdownTimeout: '1s' });
  try {
    await app.run({
      action: 'endpoints',
      urls: ['/hang', ...pathsOf(load.endpoints)].map((path) => sink.origin + path),
    });
    await sink.run({ action: 'reset' });
    const { stored = NaN } = await app.run({ action: 'backlog', count: load.count });
    expectCount('deliveries of the backlog', stored, load.count);
    return await measure(app);
  } finally {
    await app.stop();
  }
}

/** What each claim takes, in rounds. */
async function claimTimes(app: OutboxProcess, { rounds, roundMs }: ClaimLoad): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const until = performance.now() + CLAIM_PATIENCE_MS;
  while (samples.length < rounds && performance.now() < until + rounds * roundMs) {
    await sleep(roundMs);
    const sample = await app.run({ action: 'claims' });
    if ((sample.claims ?? 0) > 0) samples.push(sample);
  }
  if (samples.length === 0) throw new Error('nothing was claimed: nothing was measured');
  return samples;
}

let databases = 0;

function pathsOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, nth) => `/ok/${nth}`);
}

function linesOf([p50 = [], p99 = []]: readonly Point[][]) {
  const lines = [
    { name: 'p50', points: p50 },
    { name: 'p99', points: p99 },
  ];
  return { yLabel: 'ms', xScale: 'log', lines } as const;
}
