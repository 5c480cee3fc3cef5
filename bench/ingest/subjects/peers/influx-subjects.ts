import { Agent } from 'node:http';
import { InfluxDB, type WriteOptions } from '@influxdata/influxdb-client';
import type { Parameters, ServedSubject } from '../../../harness/index.js';
import { linesFor } from '../../documents.js';
import { served, type ThroughputSetup } from '../served.js';

/** Its own options, and how many requests at a time: WriteApi itself knows no bound. */
type InfluxOptions = Partial<WriteOptions> & { readonly connections?: number };

interface Lines {
  readonly count: number;
  /** Lines that may be unconfirmed. */
  readonly window: number;
  readonly line: (id: number) => string;
}

/**
 * WriteApi with the same lines as text, which it sends as they are. Options and defaults:
 * https://influxdata.github.io/influxdb-client-js/influxdb-client.writeoptions.html; an agent of one's own:
 * https://github.com/influxdata/influxdb-client-js/blob/master/examples/writeAdvanced.mjs
 */
export function startInflux(setup: Parameters): Promise<ServedSubject> {
  const { url, window: usual, options } = setup as unknown as ThroughputSetup;
  const { connections, ...writeOptions } = options as InfluxOptions;
  const agent = new Agent({ keepAlive: true, maxSockets: connections ?? Infinity });
  const client = new InfluxDB({ url, token: 'none', transportOptions: { agent } });
  const stop = (): Promise<void> => {
    agent.destroy();
    return Promise.resolve();
  };
  return served(setup, stop, (run) => {
    const { documents: count, window = usual } = run;
    const document = linesFor(run);
    return writeLines(client, writeOptions, { count, window, line: (id) => JSON.stringify(document(id)) });
  });
}

/** WriteApi holds nobody back, so we do, by `writeSuccess`, which is also all that says what has arrived: `flush()` does not wait for it. */
function writeLines(client: InfluxDB, options: Partial<WriteOptions>, { count, window, line }: Lines): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let confirmed = 0;
    const api = client.getWriteApi('org', 'logs', 'ns', {
      ...options,
      writeSuccess: ({ length }) => {
        confirmed += length;
        if (confirmed === count) api.close().then(resolve, reject);
        else if (next < count && next - confirmed <= window / 2) pump();
      },
      writeFailed: reject,
    });
    const pump = (): void => {
      for (; next < count && next - confirmed < window; next++) api.writeRecord(line(next));
      if (next === count) api.flush().catch(reject);
    };
    pump();
  });
}
