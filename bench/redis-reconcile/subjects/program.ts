import { serveSubjects } from '../../harness/index.js';

// Each loads only what it needs.
serveSubjects({
  floor: async (setup) => (await import('./floor-subject.js')).startFloor(setup),
  ours: async (setup) => (await import('./our-subjects.js')).startOurs(setup),
  ourLatency: async (setup) => (await import('./our-subjects.js')).startOurLatency(setup),
  bullmq: async (setup) => (await import('./bullmq-subjects.js')).startBullmq(setup),
  bullmqLatency: async (setup) => (await import('./bullmq-subjects.js')).startBullmqLatency(setup),
  transporter: async (setup) => (await import('./transporter-subject.js')).startTransporter(setup),
  holder: async (setup) => (await import('./holding-subjects.js')).startHolder(setup),
  rescuer: async (setup) => (await import('./holding-subjects.js')).startRescuer(setup),
  listener: async (setup) => (await import('./cluster/listening-subject.js')).startListener(setup),
  chaosWorker: async (setup) => (await import('./cluster/chaos-subjects.js')).startChaosWorker(setup),
  chaosProducer: async (setup) => (await import('./cluster/chaos-subjects.js')).startChaosProducer(setup),
  reconciler: async (setup) => (await import('./holding-subjects.js')).startReconciler(setup),
});
