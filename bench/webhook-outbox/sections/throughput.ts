import { startRedis } from '@nest-baton/testing';
import { type ReferenceFigure, RemoteSubject, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { Backlog } from '../measuring/backlog.js';
import { SinkProcess } from '../sink-process.js';
import { OURS, type OutboxBench, type OutboxTarget } from '../targets.js';

const PROGRAM = new URL('../programs/queues.ts', import.meta.url);
const RATE = 'perSecond';

/** Names of the program's subjects; those of peers are their targets too. */
const FAST = [
  'graphileBatched',
  'bullAlways',
  'bullEverysec',
  'bullPostgres',
  'bossBatched',
] as const satisfies OutboxTarget[];
/** One job at a time, or one every two seconds: they do not finish a backlog, so they work on it for a while. */
const SLOW = [
  'graphileDefaults',
  'bullDefaults',
  'bullPostgresDefaults',
  'bossDefaults',
] as const satisfies OutboxTarget[];

const SHOWN = {
  floor: 'floor',
  ours: OURS,
  graphileBatched: 'graphile-worker (batched)',
  graphileDefaults: 'graphile-worker (defaults)',
  bullAlways: 'BullMQ (Redis, fsync always)',
  bullEverysec: 'BullMQ (Redis, fsync every second)',
  bullDefaults: 'BullMQ (Redis, defaults)',
  bullPostgres: 'BullMQ (Postgres)',
  bullPostgresDefaults: 'BullMQ (Postgres, defaults)',
  bossBatched: 'pg-boss (batches of 500)',
  bossDefaults: 'pg-boss (defaults)',
} as const;
type SystemId = keyof typeof SHOWN;

/** Of the peers on the reference machine: POST of 300 B with HMAC, concurrency 64; Postgres 15.18, Redis 7.0.15. */
const REFERENCE: Readonly<Partial<Record<SystemId, readonly number[]>>> = {
  graphileBatched: [3_000, 4_400],
  bullEverysec: [1_500, 3_300],
  bullPostgres: [730, 810],
};

/** A backlog for two endpoints, sent by everybody with 32 requests at one time for each. */
export async function throughput(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const sink = use(await SinkProcess.start());
  const redis = use(await startRedis({ exclusive: true }));
  const systems = new Map<SystemId, Subject>();
  for (const id of Object.keys(SHOWN) as SystemId[]) {
    const setup = {
      url: await server.createDatabase(`queue-${id}`),
      redisUrl: redis.url,
      endpoints: ['/a', '/b'].map((path) => sink.origin + path),
    };
    const remote = use(await RemoteSubject.start({ name: SHOWN[id], program: PROGRAM, subject: id, setup }));
    const isSlow = (SLOW as readonly string[]).includes(id);
    const patienceMs = isSlow ? bench.pick(10_000, 500) : bench.pick(60_000, 20_000);
    systems.set(id, new Backlog(remote, sink, bench.pick(20_000, 1_200), patienceMs, isSlow));
  }
  const of = (...ids: readonly SystemId[]) => ids.map((id) => systems.get(id) as Subject);
  const fast = await bench.interleave(of('floor', 'ours', ...FAST), RATE);
  const note = 'with its log of attempts';
  bench.shows(`deliveries a second: ${SHOWN.floor}`, fast.of(SHOWN.floor, RATE), '/s', 'no retry, no fence');
  bench.shows(`deliveries a second: ${OURS}`, fast.of(OURS, RATE), '/s', note);
  bench.shows(`deliveries a second, ${OURS} against the floor`, fast.ratio(RATE, OURS, SHOWN.floor), 'x');
  for (const id of FAST) {
    bench.shows(`deliveries a second: ${SHOWN[id]}`, fast.of(SHOWN[id], RATE), '/s');
    bench.meets(id, fast.ratio(RATE, OURS, SHOWN[id]));
  }
  const slow = await bench.interleave(of('ours', ...SLOW), RATE, { warmUps: 0, pairs: bench.pick(bench.pairs, 1) });
  for (const id of SLOW) {
    bench.shows(`deliveries a second: ${SHOWN[id]}`, slow.of(SHOWN[id], RATE), '/s');
    bench.meets(id, slow.ratio(RATE, OURS, SHOWN[id]));
  }
  for (const [id, runs] of Object.entries(REFERENCE) as [keyof typeof REFERENCE, readonly number[]][])
    bench.compareWithReference(figure(SHOWN[id], runs), fast.of(SHOWN[id], RATE));
}

function figure(name: string, runs: readonly number[]): ReferenceFigure {
  return {
    name: `${name}, deliveries`,
    runs,
    dependsOn: ['cpu', 'fsync', 'loopback'],
    conditions: 'a shared machine, Postgres 15.18 or Redis 7.0.15, real POSTs of 300 B with HMAC, concurrency 64',
  };
}
