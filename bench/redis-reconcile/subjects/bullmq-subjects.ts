import { Queue, Worker, type WorkerOptions } from 'bullmq';
import { expectCount, LatencyHistogram, openLoop, type Parameters, type ServedSubject } from '../../harness/index.js';
import { inChunks, infoOf, nameOf } from '../handoffs.js';
import { CountedWork } from './counted-work.js';
import { TimedBacklog } from './timed-backlog.js';

interface Setup {
  readonly url: string;
  readonly service: string;
  /** Absent: as it comes. */
  readonly concurrency?: number;
}

type Job = Readonly<Record<string, unknown>>;

/**
 * - `concurrency`, 1 by default, is what its documentation names for work that waits: https://docs.bullmq.io/guide/workers/concurrency
 * - Jobs that are done are removed, else Redis fills up: https://docs.bullmq.io/guide/workers/auto-removal-of-jobs
 * - Backlogs are added in bulk: https://docs.bullmq.io/guide/queues/adding-bulks
 */
function tuned({ concurrency }: Setup): Pick<WorkerOptions, 'concurrency' | 'removeOnComplete'> {
  return concurrency === undefined ? {} : { concurrency, removeOnComplete: { count: 0 } };
}

export async function startBullmq(parameters: Parameters): Promise<ServedSubject> {
  const setup = parameters as unknown as Setup;
  const work = new CountedWork();
  const { queue, worker, stop } = await startQueue(setup, (name) => work.handle(name));
  const backlog = new TimedBacklog(work, {
    add: (run, count) =>
      inChunks(count, (from, to) =>
        queue.addBulk(
          Array.from({ length: to - from }, (_, i) => ({ name: nameOf(run, from + i), data: infoOf(from + i) })),
        ),
      ),
    finished: (count) => untilCompleted(worker, count),
    check: async () =>
      expectCount('jobs left', await queue.getJobCountByTypes('wait', 'active', 'delayed', 'failed'), 0),
  });
  return { run: backlog.run, stop };
}

/** From the moment when a job was due to be added until its processor runs. */
export async function startBullmqLatency(parameters: Parameters): Promise<ServedSubject> {
  const handled = new Map<string, () => void>();
  const { queue, stop } = await startQueue(parameters as unknown as Setup, (name) =>
    Promise.resolve(handled.get(name)?.()),
  );
  let runs = 0;
  const run = async (settings: Parameters) => {
    const { ratePerSecond, durationMs } = settings as { readonly ratePerSecond: number; readonly durationMs: number };
    const histogram = new LatencyHistogram();
    const number = runs++;
    const begun = await openLoop({
      ratePerSecond,
      durationMs,
      operation: async (index) => {
        const name = nameOf(number, index);
        const arrived = new Promise<void>((resolve) => handled.set(name, resolve));
        await queue.add(name, infoOf(index));
        await arrived;
        handled.delete(name);
      },
      onLatency: (latencyMs) => histogram.record(latencyMs),
    });
    expectCount('latencies', histogram.count, begun);
    return histogram.toSample();
  };
  return { run, stop };
}

async function startQueue(setup: Setup, handle: (name: string) => Promise<void>) {
  const connection = { url: setup.url, maxRetriesPerRequest: null };
  const queue = new Queue<Job>(setup.service, { connection });
  const worker = new Worker<Job>(setup.service, ({ name }) => handle(name), { connection, ...tuned(setup) });
  worker.on('error', (error) => console.error(error));
  await worker.waitUntilReady();
  const stop = async (): Promise<void> => {
    await worker.close();
    await queue.close();
  };
  return { queue, worker, stop };
}

function untilCompleted(worker: Worker<Job>, count: number): Promise<void> {
  return new Promise((resolve) => {
    let completed = 0;
    const onCompleted = (): void => {
      if (++completed < count) return;
      worker.off('completed', onCompleted);
      resolve();
    };
    worker.on('completed', onCompleted);
  });
}
