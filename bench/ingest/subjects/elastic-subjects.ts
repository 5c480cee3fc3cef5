import { Client } from '@elastic/elasticsearch';
import { expectCount, type Parameters, type Sample, type ServedSubject } from '../../harness/index.js';
import { type LogLine, logLine } from '../documents.js';
import type { FaultRun } from '../sink/fault.js';
import { SinkClient } from '../sink/sink-client.js';
import { served, type ThroughputSetup } from './served.js';

/**
 * The bulk helper. Options and their defaults (5 000 000 bytes, 5 requests at a time):
 * https://www.elastic.co/docs/reference/elasticsearch/clients/javascript/client-helpers
 */
export function startElastic(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const { compression, ...helper } = options as { readonly compression?: boolean };
  const client = new Client({ node: url, ...(compression === undefined ? {} : { compression }) });
  return served(
    setup,
    () => client.close(),
    async ({ documents }) => {
      const stats = await client.helpers.bulk<LogLine>({
        ...helper,
        datasource: lines(documents),
        onDocument: () => ({ index: { _index: 'logs' } }),
      });
      expectCount('documents that the helper calls successful', stats.successful, documents);
    },
  );
}

/** An array is what costs the helper least; a generator of its other kinds adds a promise a document. */
function lines(count: number): LogLine[] {
  return Array.from({ length: count }, (_, id) => logLine(id));
}

/** The bulk helper with a short wait between its tries; every other option as it comes. */
export function startFaultyElastic({ url }: Parameters): Promise<ServedSubject> {
  const sink = new SinkClient(String(url));
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { fault, documents } = parameters as unknown as FaultRun;
    await sink.reset(fault, true);
    const client = new Client({ node: String(url) });
    const dropped = new Set<number>();
    let aborted = 0;
    try {
      await client.helpers.bulk<LogLine>({
        datasource: Array.from({ length: documents }, (_, id) => logLine(id)),
        onDocument: () => ({ index: { _index: 'logs' } }),
        onDrop: ({ document }) => dropped.add(document.id),
        flushBytes: 1_000_000,
        concurrency: 4,
        wait: 200,
      });
    } catch {
      aborted = 1;
    }
    await client.close();
    const stored = await sink.timesStored(documents);
    const lost = stored.filter((times, id) => times === 0 && !dropped.has(id)).length;
    const duplicates = stored.reduce((sum, times) => sum + Math.max(0, times - 1), 0);
    return { lost, dropped: dropped.size, duplicates, aborted };
  };
  return Promise.resolve({ run, stop: () => Promise.resolve() });
}
