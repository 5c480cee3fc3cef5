import { serveSubjects } from '../../harness/index.js';

// Each loads only what it needs: a floor pays neither at its start nor in memory for ours or for a peer.
serveSubjects({
  loop: async (setup) => (await import('./floor-subjects.js')).startLoop(setup),
  promiseLoop: async (setup) => (await import('./floor-subjects.js')).startPromiseLoop(setup),
  lonePost: async (setup) => (await import('./lone-subjects.js')).startLonePost(setup),
  elastic: async (setup) => (await import('./peers/elastic-subjects.js')).startElastic(setup),
  influx: async (setup) => (await import('./peers/influx-subjects.js')).startInflux(setup),
  ours: async (setup) => (await import('./our-subjects.js')).startOurs(setup),
  ourReceipts: async (setup) => (await import('./our-subjects.js')).startOurReceipts(setup),
  loneOurs: async (setup) => (await import('./lone-subjects.js')).startLoneOurs(setup),
  stalled: async (setup) => (await import('./stalled-subject.js')).startStalled(setup),
  oursUnderFaults: async (setup) => (await import('./faults/ours-under-faults.js')).startOursUnderFaults(setup),
  elasticUnderFaults: async (setup) =>
    (await import('./faults/elastic-under-faults.js')).startElasticUnderFaults(setup),
  influxUnderFaults: async (setup) => (await import('./faults/influx-under-faults.js')).startInfluxUnderFaults(setup),
  postEach: async (setup) => (await import('./floor-subjects.js')).startPostEach(setup),
  allocating: async (setup) => (await import('./allocation/allocating-subject.js')).startAllocating(setup),
});
