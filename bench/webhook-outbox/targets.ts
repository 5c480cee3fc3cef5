import type { Bench, Target } from '../harness/index.js';

export const OURS = 'webhook-outbox';

const against = (peer: string, atLeast: number) =>
  ({ name: `deliveries a second, against ${peer}`, unit: 'x', atLeast }) as const;

/** The promises of the module's design page, in its order; each peer as its documentation recommends, and with its defaults. */
export const TARGETS = {
  graphileBatched: against('graphile-worker (batched)', 1.1),
  graphileDefaults: against('graphile-worker (defaults)', 1.1),
  bullAlways: against('BullMQ (Redis, fsync always)', 1.5),
  bullEverysec: against('BullMQ (Redis, fsync every second)', 1.5),
  bullDefaults: against('BullMQ (Redis, defaults)', 1.5),
  bullPostgres: against('BullMQ (Postgres)', 3),
  bullPostgresDefaults: against('BullMQ (Postgres, defaults)', 3),
  bossBatched: against('pg-boss (batches of 500)', 3),
  bossDefaults: against('pg-boss (defaults)', 3),
  https: { name: 'deliveries a second over HTTPS, against HTTP', unit: 'x', atLeast: 0.6 },
  withinP50: { name: 'insert to request in one process, p50', unit: 'ms', atMost: 3 },
  withinP99: { name: 'insert to request in one process, p99', unit: 'ms', atMost: 25 },
  acrossP50: { name: 'insert to request across processes, p50', unit: 'ms', atMost: 5 },
  acrossP99: { name: 'insert to request across processes, p99', unit: 'ms', atMost: 60 },
  deadEndpoint: { name: 'half the backlog on a dead endpoint: p99 of the others, against none', unit: 'x', atMost: 2 },
  millionClaim: { name: '1 M pending, the oldest half on a dead endpoint: claim p99', unit: 'ms', atMost: 15 },
  oldSnapshotClaim: { name: 'old snapshot at 500/s: claim p99', unit: 'ms', atMost: 10 },
  wakeUps: { name: "producers' commits a second with wake-ups, against without", unit: 'x', atLeast: 0.9 },
  idle: { name: 'idle process', unit: 'queries/s', atMost: 2 },
  endless: { name: '64 receivers with endless bodies: memory over before', unit: 'MB', atMost: 50 },
} as const satisfies Record<string, Target>;

export type OutboxTarget = keyof typeof TARGETS;
export type OutboxBench = Bench<OutboxTarget>;
