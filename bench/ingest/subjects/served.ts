import { expectCount, type Parameters, type Sample, type ServedSubject } from '../../harness/index.js';
import { SinkClient } from '../sink/sink-client.js';
import { Collections } from './collections.js';

/** What every subject here is set up with. */
export interface ThroughputSetup {
  readonly url: string;
  readonly window: number;
  /** Of the subject's own kind. */
  readonly options: object;
  /** False with a sink that keeps nothing: what arrived cannot be checked then. Default true. */
  readonly isCounted?: boolean;
}

export interface ThroughputRun {
  readonly documents: number;
  /** Length of each document as JSON, about; default 220. */
  readonly bytes?: number;
  /** Instead of the setup's. */
  readonly window?: number;
  /** Calls of so many documents, for receipts. */
  readonly perCall?: number;
  /** Instead of `documents`: so many callers, each with one document under way, for `durationMs`. */
  readonly callers?: number;
  readonly durationMs?: number;
}

export type Work = (run: ThroughputRun) => Promise<number | void>;

/** Times the work, and checks at the sink that all of it arrived. */
export function served(setup: Parameters, stop: () => Promise<unknown>, work: Work): Promise<ServedSubject> {
  const { url, isCounted = true } = setup as unknown as ThroughputSetup;
  const sink = new SinkClient(url);
  const collections = new Collections();
  return Promise.resolve({
    async run(parameters: Parameters): Promise<Sample> {
      const run = parameters as unknown as ThroughputRun;
      const before = await sink.counts();
      await collections.take();
      const cpuBefore = process.cpuUsage();
      const startedAt = performance.now();
      const documents = (await work(run)) ?? run.documents;
      const wallUs = (performance.now() - startedAt) * 1000;
      const { user, system } = process.cpuUsage(cpuBefore);
      const collected = await collections.take();
      const after = await sink.counts();
      if (isCounted) expectCount('documents that arrived', after.documents - before.documents, documents);
      const sinkUs = after.cpuUs - before.cpuUs;
      return {
        perSecond: documents / (wallUs / 1e6),
        cpuUsPerDocument: (user + system) / documents,
        gcUsPerDocument: (collected.totalMs * 1000) / documents,
        rssMb: process.memoryUsage.rss() / 2 ** 20,
        documentsPerRequest: documents / (after.requests - before.requests),
        sinkUsPerDocument: sinkUs / documents,
        sinkShare: sinkUs / (sinkUs + user + system),
        sinkBusy: sinkUs / wallUs,
      };
    },
    stop: async () => void (await stop()),
  });
}
