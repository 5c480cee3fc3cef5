import { defineBenchmark, type Use } from '../harness/index.js';
import { type DurableServer, startDurableServer } from '../postgres/durable-server.js';
import { delivering } from './sections/delivering.js';
import { listenerFaults } from './sections/listener-faults.js';
import { notifyModes } from './sections/notify-modes.js';
import { oldSnapshot } from './sections/old-snapshot.js';
import { scale } from './sections/scale.js';
import { sseMemory } from './sections/sse-memory.js';
import { throughput } from './sections/throughput.js';
import { waitingReaders } from './sections/waiting-readers.js';
import { type StreamBench, TARGETS } from './targets.js';

const SECTIONS: readonly (readonly [string, (bench: StreamBench, server: DurableServer, use: Use) => Promise<void>])[] =
  [
    ['throughput', throughput],
    ['delivering', delivering],
    ['NOTIFY modes', notifyModes],
    ['waiting readers', waitingReaders],
    ['listener faults', listenerFaults],
    ['SSE memory', sseMemory],
    ['old snapshot', oldSnapshot],
    ['scale', scale],
  ];

/** One Postgres for the whole run; each section has databases and processes of its own, and stands by itself. */
export default defineBenchmark({
  name: 'pg-stream',
  packages: ['pg', '@workflow/world-postgres', '@nestjs/core'],
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
