import type { IngestOptions } from '@nest-baton/ingest';
import { type Parameters, type ServedSubject } from '../../harness/index.js';
import { logLine } from '../documents.js';
import { closedLoop, fireAndForget, withReceipts } from './driving.js';
import { startOurService } from './our-service.js';
import { served, type ThroughputSetup } from './served.js';

/** Fire and forget. */
export async function startOurs(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const { service, stop } = await startOurService({ ...(options as IngestOptions), url });
  return served(setup, stop, async ({ documents }) => {
    await fireAndForget(documents, (doc) => service.ingest(doc));
    await service.flush();
  });
}

/** With a receipt for each call. */
export async function startOurReceipts(setup: Parameters): Promise<ServedSubject> {
  const { url, window, options } = setup as unknown as ThroughputSetup;
  const { service, stop } = await startOurService({ ...(options as IngestOptions), url });
  return served(setup, stop, ({ documents, perCall = 1, callers, durationMs = 0 }) => {
    if (callers !== undefined) return closedLoop(callers, durationMs, (doc) => service.ingestSync(doc));
    if (perCall === 1) return withReceipts({ count: documents, window, send: (id) => service.ingestSync(logLine(id)) });
    const send = (from: number): Promise<void> => {
      const size = Math.min(perCall, documents - from);
      return service.ingestSync(Array.from({ length: size }, (_, index) => logLine(from + index)));
    };
    return withReceipts({ count: documents, window: Math.ceil(window / perCall), perCall, send });
  });
}
