import { serveSubjects } from '../../harness/index.js';

// Each loads only what it needs: a floor pays neither at its start nor in memory for ours or for a peer.
serveSubjects({
  loop: async (setup) => (await import('./floor-subjects.js')).startLoop(setup),
  promiseLoop: async (setup) => (await import('./floor-subjects.js')).startPromiseLoop(setup),
  lonePost: async (setup) => (await import('./lone-subjects.js')).startLonePost(setup),
  elastic: async (setup) => (await import('./elastic-subjects.js')).startElastic(setup),
  faultyElastic: async (setup) => (await import('./elastic-subjects.js')).startFaultyElastic(setup),
  ours: async (setup) => (await import('./our-subjects.js')).startOurs(setup),
  ourReceipts: async (setup) => (await import('./our-subjects.js')).startOurReceipts(setup),
  loneOurs: async (setup) => (await import('./lone-subjects.js')).startLoneOurs(setup),
  stalled: async (setup) => (await import('./stalled-subject.js')).startStalled(setup),
  faultyOurs: async (setup) => (await import('./our-fault-subject.js')).startFaultyOurs(setup),
});
