import { defineBenchmark } from '../harness/index.js';
import { measureAllocation } from './sections/allocation.js';
import { measureFaults } from './sections/faults.js';
import { measureLoneCaller } from './sections/lone-caller.js';
import { measureScaleByCallers } from './sections/scale-by-callers.js';
import { measureScaleBySize } from './sections/scale-by-size.js';
import { measureStall } from './sections/stall.js';
import { measureThroughput } from './sections/throughput.js';
import { TARGETS } from './targets.js';

export default defineBenchmark({
  name: 'ingest',
  packages: [
    '@elastic/elasticsearch',
    '@elastic/transport',
    '@influxdata/influxdb-client',
    '@nest-baton/ingest',
    'undici',
    '@nestjs/core',
  ],
  targets: TARGETS,
  async run(bench) {
    await measureThroughput(bench);
    await measureAllocation(bench);
    await measureLoneCaller(bench);
    await measureStall(bench);
    await measureFaults(bench);
    await measureScaleByCallers(bench);
    await measureScaleBySize(bench);
  },
});
