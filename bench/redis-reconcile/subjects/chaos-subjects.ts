import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { openLoop, type Parameters, type Sample, type ServedSubject } from '../../harness/index.js';
import { nameOf } from '../handoffs.js';
import { startOurApp } from './our-app.js';

interface Setup {
  readonly url: string;
  readonly service: string;
}

const LEASE = '2s';
const WORK_MS = 50;
const CONCURRENCY = 20;
/** More than anybody can be killed: each hand-off must be done in the end. */
const MAX_RETRIES = 1_000;
const SETTLED_TIMEOUT_MS = 120_000;

/** A worker to be killed: takes a while, then leaves a trace, then resolves. */
export async function startChaosWorker(setup: Parameters): Promise<ServedSubject> {
  const { url, service } = setup as unknown as Setup;
  const redis = new Redis(url);
  const handle = async ({ dataStream }: { readonly dataStream: string }): Promise<void> => {
    await sleep(WORK_MS);
    await redis.sadd(tracesOf(service), dataStream);
  };
  const app = await startOurApp({
    url,
    service,
    lease: LEASE,
    recovery: { interval: '1s', minIdle: LEASE, maxRetries: MAX_RETRIES },
    consumerId: `chaos-${process.pid}`,
    worker: { concurrency: CONCURRENCY, handle },
  });
  return { run: () => Promise.resolve({}), stop: app.stop };
}

/** Produces at a fixed rate, then waits until everything has ended, and counts the traces. */
export async function startChaosProducer(setup: Parameters): Promise<ServedSubject> {
  const { url, service } = setup as unknown as Setup;
  const { reconcile, stop } = await startOurApp({ url, service, lease: LEASE });
  const redis = new Redis(url);
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { ratePerSecond, durationMs } = parameters as { readonly ratePerSecond: number; readonly durationMs: number };
    const added = await openLoop({
      ratePerSecond,
      durationMs,
      operation: (index) => reconcile.produce(nameOf(0, index)),
      onLatency: () => undefined,
    });
    return { added };
  };
  const settle = async (): Promise<Sample> => {
    const open = async (): Promise<number> => {
      const { queued, pending, waiting } = await reconcile.stats();
      return queued + pending + waiting;
    };
    const description = 'every hand-off has ended';
    await waitFor(async () => (await open()) === 0, { timeoutMs: SETTLED_TIMEOUT_MS, description });
    const { dead } = await reconcile.stats();
    return { dead, done: await redis.scard(tracesOf(service)) };
  };
  return {
    run: (parameters) => (parameters['settle'] === true ? settle() : run(parameters)),
    stop: async () => {
      redis.disconnect();
      await stop();
    },
  };
}

function tracesOf(service: string): string {
  return `traces:${service}`;
}
