import { defineBenchmark, type Use } from '../harness/index.js';
import { type DurableServer, startDurableServer } from '../postgres/durable-server.js';
import { claims } from './sections/claims.js';
import { endlessBodies, idle, wakeUps } from './sections/costs.js';
import { deadEndpoint } from './sections/dead-endpoint.js';
import { https } from './sections/https.js';
import { latency } from './sections/latency.js';
import { throughput } from './sections/throughput.js';
import { type OutboxBench, TARGETS } from './targets.js';

type Section = (bench: OutboxBench, server: DurableServer, use: Use) => Promise<void>;

const SECTIONS: readonly (readonly [string, Section])[] = [
  ['throughput', throughput],
  ['HTTPS', https],
  ['latency', latency],
  ['dead endpoint', deadEndpoint],
  ['claims', claims],
  ['wake-ups', wakeUps],
  ['idle', idle],
  ['endless bodies', endlessBodies],
];

/** One Postgres for the whole run; each section has databases and processes of its own, and stands by itself. */
export default defineBenchmark({
  name: 'webhook-outbox',
  packages: ['pg', 'undici', 'typeorm', 'graphile-worker', 'bullmq', 'pg-boss', '@nestjs/core'],
  targets: TARGETS,
  async run(bench) {
    const server = await startDurableServer();
    bench.say(`Postgres ${server.version}, fsync on, synchronous_commit on, from ${server.postgres.origin}`);
    try {
      for (const [title, section] of SECTIONS) await bench.section(title, (use) => section(bench, server, use));
    } finally {
      await server.stop();
    }
  },
});
