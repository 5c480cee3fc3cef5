import { expectCount, type Parameters, type Sample, type ServedSubject } from '../../harness/index.js';
import { SinkClient } from '../sink/sink-client.js';

/** What every subject here is set up with. */
export interface ThroughputSetup {
  readonly url: string;
  readonly window: number;
  /** Of the subject's own kind. */
  readonly options: object;
}

export interface ThroughputRun {
  readonly documents: number;
  /** Calls of so many documents, for receipts. */
  readonly perCall?: number;
  /** Instead of `documents`: so many callers, each with one document under way, for `durationMs`. */
  readonly callers?: number;
  readonly durationMs?: number;
}

export type Work = (run: ThroughputRun) => Promise<number | void>;

/** Times the work, and checks at the sink that all of it arrived. */
export function served(setup: Parameters, stop: () => Promise<unknown>, work: Work): Promise<ServedSubject> {
  const sink = new SinkClient((setup as unknown as ThroughputSetup).url);
  return Promise.resolve({
    async run(parameters: Parameters): Promise<Sample> {
      const run = parameters as unknown as ThroughputRun;
      const before = await sink.counts();
      const cpuBefore = process.cpuUsage();
      const startedAt = performance.now();
      const documents = (await work(run)) ?? run.documents;
      const seconds = (performance.now() - startedAt) / 1000;
      const { user, system } = process.cpuUsage(cpuBefore);
      const after = await sink.counts();
      expectCount('documents that arrived', after.documents - before.documents, documents);
      return {
        perSecond: documents / seconds,
        cpuUsPerDocument: (user + system) / documents,
        rssMb: process.memoryUsage.rss() / 2 ** 20,
        documentsPerRequest: documents / (after.requests - before.requests),
      };
    },
    stop: async () => void (await stop()),
  });
}
