import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { openLoop, type Parameters, type Sample, type ServedSubject } from '../../../harness/index.js';
import { nameOf } from '../../handoffs.js';
import { startOurApp } from '../our-app.js';

interface Setup {
  readonly cluster: readonly string[];
  readonly service: string;
  /** A server that nothing is done to. */
  readonly tracesUrl: string;
}

const LEASE = '2s';
const WORK_MS = 50;
const CONCURRENCY = 20;
/** More than anybody can be killed: each hand-off must be done in the end. */
const MAX_RETRIES = 1_000;
/** Between two tries to hand off what is not confirmed, and between two looks at what is open. */
const AGAIN_MS = 100;
const SETTLED_TIMEOUT_MS = 120_000;
const TRACES = 'traces';

/** A worker to be killed: takes a while, then leaves a trace, then resolves. */
export async function startChaosWorker(setup: Parameters): Promise<ServedSubject> {
  const { cluster, service, tracesUrl } = setup as unknown as Setup;
  const redis = new Redis(tracesUrl);
  const handle = async ({ dataStream }: { readonly dataStream: string }): Promise<void> => {
    await sleep(WORK_MS);
    await redis.sadd(TRACES, dataStream);
  };
  const app = await startOurApp({
    cluster,
    service,
    lease: LEASE,
    recovery: { interval: '1s', minIdle: LEASE, maxRetries: MAX_RETRIES },
    consumerId: `chaos-${process.pid}`,
    worker: { concurrency: CONCURRENCY, handle },
  });
  const stop = async (): Promise<void> => {
    await app.stop();
    redis.disconnect();
  };
  return { run: () => Promise.resolve({}), stop };
}

/**
 * Produces at a fixed rate, each hand-off until a replica has confirmed it. With `settle` it waits until everything has ended, counts the traces and
 * says how much is still open when its time is over.
 */
export async function startChaosProducer(setup: Parameters): Promise<ServedSubject> {
  const { cluster, service, tracesUrl } = setup as unknown as Setup;
  const { reconcile, stop } = await startOurApp({ cluster, service, lease: LEASE });
  const redis = new Redis(tracesUrl);
  const confirmed: string[] = [];
  const handOff = async (name: string): Promise<void> => {
    for (const deadline = performance.now() + SETTLED_TIMEOUT_MS; performance.now() < deadline;) {
      // Not known whether it was added, or whether a failover would lose it: with a dedupe id the same call can be made again.
      const options = { waitReplicas: 1, dedupeId: name };
      const isConfirmed = await reconcile.produce(name, options).then(
        () => true,
        () => false,
      );
      if (isConfirmed) return void confirmed.push(name);
      await sleep(AGAIN_MS);
    }
  };
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { ratePerSecond, durationMs } = parameters as { readonly ratePerSecond: number; readonly durationMs: number };
    await openLoop({
      ratePerSecond,
      durationMs,
      operation: (index) => handOff(nameOf(0, index)),
      onLatency: () => undefined,
    });
    return { added: confirmed.length };
  };
  const settle = async (): Promise<Sample> => {
    const counts = () => reconcile.stats().catch(() => undefined);
    for (const deadline = performance.now() + SETTLED_TIMEOUT_MS; ; await sleep(AGAIN_MS)) {
      const stats = await counts();
      const open = stats === undefined ? Infinity : stats.queued + stats.pending + stats.waiting;
      if (open > 0 && performance.now() < deadline) continue;
      const traces = await redis.smismember(TRACES, ...confirmed);
      return { open, dead: stats?.dead, done: traces.filter((isThere) => isThere === 1).length };
    }
  };
  return {
    run: (parameters) => (parameters['settle'] === true ? settle() : run(parameters)),
    stop: async () => {
      redis.disconnect();
      await stop();
    },
  };
}
