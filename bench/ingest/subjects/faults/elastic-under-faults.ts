import { Client } from '@elastic/elasticsearch';
import type { Parameters, Sample, ServedSubject } from '../../../harness/index.js';
import { type LogLine, logLine } from '../../documents.js';
import type { FaultRun } from '../../sink/fault.js';
import { SinkClient } from '../../sink/sink-client.js';

/** The bulk helper with a short wait between its tries; every other option as it comes. */
export function startElasticUnderFaults({ url }: Parameters): Promise<ServedSubject> {
  const sink = new SinkClient(String(url));
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { fault, documents } = parameters as unknown as FaultRun;
    await sink.reset(fault, 'ids');
    const client = new Client({ node: String(url) });
    const dropped = new Set<number>();
    let aborted = 0;
    try {
      await client.helpers.bulk<LogLine>({
        datasource: Array.from({ length: documents }, (_, id) => logLine(id)),
        onDocument: () => ({ create: { _index: 'logs' } }),
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
