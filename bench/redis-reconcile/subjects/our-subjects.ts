import { expectCount, LatencyHistogram, openLoop, type Parameters, type ServedSubject } from '../../harness/index.js';
import { inChunks, infoOf, nameOf } from '../handoffs.js';
import { CountedWork } from './counted-work.js';
import { type OurApp, type Servers, startOurApp } from './our-app.js';
import { TimedBacklog } from './timed-backlog.js';

interface Setup extends Servers {
  readonly service: string;
  /** Default: the module's own. */
  readonly concurrency: number;
  readonly partitions?: number;
}

export async function startOurs(setup: Parameters): Promise<ServedSubject> {
  const { concurrency, partitions = 1, ...where } = setup as unknown as Setup;
  const work = new CountedWork();
  const worker = { concurrency, handle: ({ dataStream }: { readonly dataStream: string }) => work.handle(dataStream) };
  const app = await startOurApp({ ...where, partitions, worker });
  const backlog = new TimedBacklog(work, {
    add: (run, count) => addAll(app, run, count),
    finished: (count) => untilDone(app, count),
    check: () => expectEmpty(app),
  });
  return { run: backlog.run, stop: app.stop };
}

/** From the moment when a hand-off was due to be produced until its handler runs, in a process that has nothing else to do. */
export async function startOurLatency(setup: Parameters): Promise<ServedSubject> {
  const { concurrency, ...where } = setup as unknown as Setup;
  const handled = new Map<string, () => void>();
  const worker = {
    concurrency,
    handle: ({ dataStream }: { readonly dataStream: string }) => Promise.resolve(handled.get(dataStream)?.()),
  };
  const app = await startOurApp({ ...where, worker });
  let runs = 0;
  const run = async (parameters: Parameters) => {
    const { ratePerSecond, durationMs } = parameters as { readonly ratePerSecond: number; readonly durationMs: number };
    const histogram = new LatencyHistogram();
    const number = runs++;
    const begun = await openLoop({
      ratePerSecond,
      durationMs,
      operation: async (index) => {
        const name = nameOf(number, index);
        const arrived = new Promise<void>((resolve) => handled.set(name, resolve));
        await app.reconcile.produce(name, { info: infoOf(index) });
        await arrived;
        handled.delete(name);
      },
      onLatency: (latencyMs) => histogram.record(latencyMs),
    });
    expectCount('latencies', histogram.count, begun);
    return histogram.toSample();
  };
  return { run, stop: app.stop };
}

export async function addAll({ reconcile }: OurApp, run: number, count: number): Promise<void> {
  await inChunks(count, (from, to) =>
    Promise.all(
      Array.from({ length: to - from }, (_, i) => reconcile.produce(nameOf(run, from + i), { info: infoOf(from + i) })),
    ),
  );
}

function untilDone({ reconcile }: OurApp, count: number): Promise<void> {
  return new Promise((resolve) => {
    let done = 0;
    const off = reconcile.on('done', () => {
      if (++done < count) return;
      off();
      resolve();
    });
  });
}

async function expectEmpty({ reconcile }: OurApp): Promise<void> {
  const { queued, pending, waiting, held, dead } = await reconcile.stats();
  expectCount('hand-offs left', queued + pending + waiting + held + dead, 0);
}
