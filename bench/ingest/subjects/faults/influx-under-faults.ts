import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { InfluxDB, setLogger } from '@influxdata/influxdb-client';
import type { Parameters, Sample, ServedSubject } from '../../../harness/index.js';
import { logLine } from '../../documents.js';
import type { FaultRun } from '../../sink/fault.js';
import { SinkClient } from '../../sink/sink-client.js';

/** Short waits, as everybody has here; all else as it comes. */
const OPTIONS = { batchSize: 5_000, flushInterval: 1_000, minRetryDelay: 200, maxRetryDelay: 1_000 };
const LINES_A_TURN = 1_000;
/** What is under way when `close()` resolves may still arrive. */
const QUIET_MS = 300;
const GRACE_MS = 8_000;

/** Lines in, `close()`, as its example has it: https://github.com/influxdata/influxdb-client-js/blob/master/examples/write.mjs */
export function startInfluxUnderFaults({ url }: Parameters): Promise<ServedSubject> {
  setLogger({ error: () => undefined, warn: () => undefined });
  const sink = new SinkClient(String(url));
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { fault, documents } = parameters as unknown as FaultRun;
    await sink.reset(fault, 'ids');
    let confirmed = 0;
    const api = new InfluxDB({ url: String(url), token: 'none' }).getWriteApi('org', 'logs', 'ns', {
      ...OPTIONS,
      writeSuccess: ({ length }) => void (confirmed += length),
    });
    for (let id = 0; id < documents; id++) {
      api.writeRecord(JSON.stringify(logLine(id)));
      if (id % LINES_A_TURN === 0) await nextTurn();
    }
    await api.close().catch(() => undefined);
    const unconfirmed = documents - confirmed;
    await quiet(sink);
    const stored = await sink.timesStored(documents);
    return {
      unconfirmed,
      confirmed,
      lost: stored.filter((times) => times === 0).length,
      duplicates: stored.reduce((sum, times) => sum + Math.max(0, times - 1), 0),
    };
  };
  return Promise.resolve({ run, stop: () => Promise.resolve() });
}

/** Until nothing has come for a while, or the grace is over. */
async function quiet(sink: SinkClient): Promise<void> {
  const endsAt = performance.now() + GRACE_MS;
  for (let last = -1; performance.now() < endsAt; await sleep(QUIET_MS)) {
    const { requests } = await sink.counts();
    if (requests === last) return;
    last = requests;
  }
}
