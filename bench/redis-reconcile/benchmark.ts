import { defineBenchmark } from '../harness/index.js';
import { measureChaos } from './sections/chaos.js';
import { measureDeadEntries } from './sections/dead-entries.js';
import { measureHeldLeases } from './sections/held-leases.js';
import { measureKilledOwner } from './sections/killed-owner.js';
import { measureLatency } from './sections/latency.js';
import { measurePartitions, measureScale } from './sections/scale.js';
import { measureThroughput } from './sections/throughput.js';
import { TARGETS } from './targets.js';

const NO_CLUSTER = 'this benchmark starts no cluster yet; the tests of cluster mode cover it without figures';

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
    await measureChaos(bench);
    await measureScale(bench);
    await measurePartitions(bench);
    bench.notBuilt('coverage', NO_CLUSTER);
    bench.notBuilt('coverageAgain', NO_CLUSTER);
    bench.notBuilt('chaos', `${NO_CLUSTER}, so there is no failover`);
  },
});
