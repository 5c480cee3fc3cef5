import { Client } from '@elastic/elasticsearch';
import { expectCount, type Parameters, type ServedSubject } from '../../../harness/index.js';
import { type LogLine, logLine } from '../../documents.js';
import { served, type ThroughputSetup } from '../served.js';

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
        onDocument: () => ({ create: { _index: 'logs' } }),
      });
      expectCount('documents that the helper calls successful', stats.successful, documents);
    },
  );
}

/** An array is what costs the helper least; a generator of its other kinds adds a promise a document. */
function lines(count: number): LogLine[] {
  return Array.from({ length: count }, (_, id) => logLine(id));
}
