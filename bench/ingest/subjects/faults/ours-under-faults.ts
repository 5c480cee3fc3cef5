import { setImmediate as nextTurn } from 'node:timers/promises';
import type { IngestReceipt } from '@nest-baton/ingest';
import { type Parameters, type Sample, type ServedSubject } from '../../../harness/index.js';
import { logLine } from '../../documents.js';
import type { FaultRun } from '../../sink/fault.js';
import { SinkClient } from '../../sink/sink-client.js';
import { startOurService } from '../our-service.js';

const DOCS_PER_CALL = 100;
/** In a burst. */
const DOCS_A_TURN = 1_000;
/** Longer than any request of these runs takes, so that what never settles is found. */
const SETTLED_WITHIN_MS = 20_000;

/** A service of its own for each fault: documents in, `close()`, then every verdict against what the server really has. */
export function startOursUnderFaults({ url }: Parameters): Promise<ServedSubject> {
  const sink = new SinkClient(String(url));
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { fault, documents, isBurst = false, protocol = 'native' } = parameters as unknown as FaultRun;
    await sink.reset(fault, 'ids');
    const { service, stop } = await startOurService({
      url: String(url),
      protocol,
      retry: { base: '50ms', cap: '200ms' },
      closeTimeout: '1m',
    });
    const receipts: IngestReceipt[] = [];
    for (let id = 0; id < documents; id += DOCS_PER_CALL) {
      const receipt = service.ingestBatch(Array.from({ length: DOCS_PER_CALL }, (_, index) => logLine(id + index)));
      receipts.push(receipt);
      if (!isBurst) await receipt.admitted;
      else if (id % DOCS_A_TURN === 0) await nextTurn();
    }
    await service.close({ timeout: SETTLED_WITHIN_MS });
    const verdicts = await judge(receipts, await sink.timesStored(documents));
    await stop();
    return verdicts;
  };
  return Promise.resolve({ run, stop: () => Promise.resolve() });
}

/** A verdict is wrong when it says accepted and the server has nothing, discarded and the server has it, or hides a duplicate. */
async function judge(receipts: readonly IngestReceipt[], stored: Uint8Array): Promise<Sample> {
  const sums = { accepted: 0, lost: 0, unsettled: 0, duplicates: 0, unflagged: 0, flagged: 0, refused: 0 };
  for (const [call, receipt] of receipts.entries()) {
    if (!receipt.settled) {
      sums.unsettled += DOCS_PER_CALL;
      continue;
    }
    for (const [index, outcome] of (await receipt.outcomes).entries()) {
      const times = stored[call * DOCS_PER_CALL + index] ?? 0;
      const isFlagged = outcome.status === 'unknown' || (outcome.status === 'accepted' && outcome.maybeDuplicate);
      if (outcome.status === 'accepted') sums.accepted++;
      if (outcome.status === 'accepted' && times === 0) sums.lost++;
      if (outcome.status === 'discarded') sums.refused++;
      if (outcome.status === 'discarded' && times > 0) sums.unflagged++;
      if (isFlagged) sums.flagged++;
      if (times > 1) sums.duplicates += times - 1;
      if (times > 1 && !isFlagged) sums.unflagged++;
    }
  }
  return sums;
}
