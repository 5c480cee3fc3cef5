import { defineBenchmark } from '../harness/index.js';
import { measureChaos } from './sections/chaos.js';
import { measureCoverage } from './sections/coverage.js';
import { measureDeadEntries } from './sections/dead-entries.js';
import { measureHeldLeases } from './sections/held-leases.js';
import { measureKilledOwner } from './sections/killed-owner.js';
import { measureLatency } from './sections/latency.js';
import { measureMasters, measurePartitions, measureScale } from './sections/scale.js';
import { measureThroughput } from './sections/throughput.js';
import { TARGETS } from './targets.js';

export default defineBenchmark({
  name: 'redis-reconcile',
  packages: [
    'bullmq',
    '@nestjs-redis/streams-transporter',
    '@nestjs/microservices',
    'redis',
    '@nest-baton/redis-reconcile',
    'ioredis',
  ],
  targets: TARGETS,
  async run(bench) {
    await measureThroughput(bench);
    await measureLatency(bench);
    await measureKilledOwner(bench);
    await measureHeldLeases(bench);
    await measureDeadEntries(bench);
    await measureCoverage(bench);
    await measureChaos(bench);
    await measureScale(bench);
    await measurePartitions(bench);
    await measureMasters(bench);
  },
});
