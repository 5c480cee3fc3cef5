import { setTimeout as sleep } from 'node:timers/promises';
import type { Duration } from '@nest-baton/core';
import { waitFor } from '@nest-baton/testing';
import type { Parameters, Sample, ServedSubject } from '../../harness/index.js';
import { addAll } from './our-subjects.js';
import { type OurApp, startOurApp } from './our-app.js';

interface HolderSetup {
  readonly url: string;
  readonly service: string;
  readonly leases: number;
  /** A process handles at most 10 000 at a time, an application of it; more of them share the service. */
  readonly apps?: number;
  readonly lease?: Duration;
}

const ACQUIRED_TIMEOUT_MS = 120_000;

/** Takes hand-offs and never finishes them. `run` with `add` produces and acquires them; with `forMs` it says what holding them costs. */
export async function startHolder(setup: Parameters): Promise<ServedSubject> {
  const { url, service, leases, apps: count = 1, lease = '10s' } = setup as unknown as HolderSetup;
  const worker = {
    concurrency: Math.ceil(leases / count),
    handle: ({ signal }: { readonly signal: AbortSignal }) => untilAborted(signal),
  };
  const apps: OurApp[] = [];
  for (let i = 0; i < count; i++)
    apps.push(await startOurApp({ url, service, lease, worker, consumerId: `holder-${process.pid}-${i}` }));
  const [first] = apps as [OurApp];
  const owned = async (): Promise<number> => {
    const stats = await Promise.all(apps.map(({ reconcile }) => reconcile.stats()));
    return stats.reduce((sum, each) => sum + each.owned, 0);
  };
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { add, forMs } = parameters as { readonly add?: number; readonly forMs?: number };
    if (add !== undefined) {
      await addAll(first, process.pid, add);
      const description = `${add} hand-offs acquired`;
      await waitFor(async () => (await owned()) === leases, { timeoutMs: ACQUIRED_TIMEOUT_MS, description });
    }
    return forMs === undefined ? {} : costOf(forMs);
  };
  return { run, stop: async () => void (await Promise.all(apps.map(({ stop }) => stop()))) };
}

/** Processor time of all threads of this process, in percent of one core. */
async function costOf(forMs: number): Promise<Sample> {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  await sleep(forMs);
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(before);
  return { cpuPercent: (user + system) / 10 / elapsedMs };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(new Error('the work was taken away')), { once: true }),
  );
}

interface RescuerSetup {
  readonly url: string;
  readonly service: string;
  readonly concurrency: number;
  readonly lease: Duration;
  readonly hints: 'on' | 'off';
  readonly recovery?: { readonly interval: Duration; readonly minIdle: Duration };
}

const RESCUE_TIMEOUT_MS = 60_000;

/** A worker that is there when another one dies. `run` resolves when it has handled `count` hand-offs; times are of the wall clock. */
export async function startRescuer(setup: Parameters): Promise<ServedSubject> {
  const { url, service, concurrency, lease, hints, recovery } = setup as unknown as RescuerSetup;
  const handledAt: number[] = [];
  const handle = (): Promise<void> => {
    handledAt.push(performance.timeOrigin + performance.now());
    return Promise.resolve();
  };
  const app = await startOurApp({
    url,
    service,
    lease,
    hints,
    ...(recovery === undefined ? {} : { recovery }),
    worker: { concurrency, handle },
    consumerId: `rescuer-${process.pid}`,
  });
  const run = async ({ count }: Parameters): Promise<Sample> => {
    const description = `${Number(count)} orphans handled`;
    await waitFor(() => handledAt.length >= Number(count), { timeoutMs: RESCUE_TIMEOUT_MS, description });
    const sorted = [...handledAt].sort((a, b) => a - b);
    return { handled: sorted.length, p99At: sorted[Math.ceil(sorted.length * 0.99) - 1], firstAt: sorted[0] };
  };
  return { run, stop: app.stop };
}

/** Works for nobody, and gives away what the dead have left. `run` reconciles until nothing is pending. */
export async function startReconciler(setup: Parameters): Promise<ServedSubject> {
  const { url, service, lease } = setup as { readonly url: string; readonly service: string; readonly lease: Duration };
  const { reconcile, stop } = await startOurApp({ url, service, lease, hints: 'off' });
  const run = async (): Promise<Sample> => {
    const startedAt = performance.now();
    let passes = 0;
    let requeued = 0;
    do {
      passes++;
      requeued += (await reconcile.reconcileNow()).requeued;
    } while ((await reconcile.stats()).pending > 0 && passes < 1_000);
    const seconds = (performance.now() - startedAt) / 1000;
    const { queued, pending, dead } = await reconcile.stats();
    return { seconds, passes, requeued, queued, pending, dead };
  };
  return { run, stop };
}
