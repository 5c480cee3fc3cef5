import type { IngestOptions } from '@nest-baton/ingest';
import { type Parameters, type ServedSubject } from '../../harness/index.js';
import { linesFor } from '../documents.js';
import { closedLoop, fireAndForget, withReceipts } from './driving.js';
import { startOurService } from './our-service.js';
import { served, type ThroughputSetup } from './served.js';

/** Fire and forget. */
export async function startOurs(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const { service, stop } = await startOurService({ ...(options as IngestOptions), url });
  return served(setup, stop, async (run) => {
    await fireAndForget(run.documents, linesFor(run), (doc) => service.ingest(doc));
    await service.flush();
  });
}

/** With a receipt for each call. */
export async function startOurReceipts(setup: Parameters): Promise<ServedSubject> {
  const { url, window: usual, options } = setup as unknown as ThroughputSetup;
  const { service, stop } = await startOurService({ ...(options as IngestOptions), url });
  return served(setup, stop, (run) => {
    const { documents, perCall = 1, window = usual, callers, durationMs = 0 } = run;
    const line = linesFor(run);
    if (callers !== undefined) return closedLoop(callers, durationMs, (doc) => service.ingestSync(doc));
    if (perCall === 1) return withReceipts({ count: documents, window, send: (id) => service.ingestSync(line(id)) });
    const send = (from: number): Promise<void> => {
      const size = Math.min(perCall, documents - from);
      return service.ingestSync(Array.from({ length: size }, (_, index) => line(from + index)));
    };
    return withReceipts({ count: documents, window: Math.ceil(window / perCall), perCall, send });
  });
}
