import { defineBenchmark } from '../harness/index.js';
import { measureFaults } from './sections/faults.js';
import { measureLoneCaller } from './sections/lone-caller.js';
import { measureScale } from './sections/scale.js';
import { measureStall } from './sections/stall.js';
import { measureThroughput } from './sections/throughput.js';
import { TARGETS } from './targets.js';

export default defineBenchmark({
  name: 'ingest',
  packages: ['@elastic/elasticsearch', '@elastic/transport', '@nest-baton/ingest', 'undici', '@nestjs/core'],
  targets: TARGETS,
  async run(bench) {
    await measureThroughput(bench);
    await measureLoneCaller(bench);
    await measureStall(bench);
    await measureFaults(bench);
    await measureScale(bench);
  },
});
