import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { EventLoopDelay, expectCount, type Parameters, type Sample, type ServedSubject } from '../../harness/index.js';
import { logLine } from '../documents.js';
import { SinkClient } from '../sink/sink-client.js';
import { startOurService } from './our-service.js';

interface StallRun {
  readonly stallMs: number;
}

const PRODUCERS = 10;
const DOCS_PER_CALL = 100;
const MB = 2 ** 20;

/** Producers that wait for `admitted`, and a server that answers nothing for a while: what that costs in memory and responsiveness. */
export async function startStalled(setup: Parameters): Promise<ServedSubject> {
  const { url, maxBufferBytes } = setup as { readonly url: string; readonly maxBufferBytes: number };
  const { service, stop } = await startOurService({ url, maxBufferBytes, maxBufferDocs: 1_000_000 });
  const sink = new SinkClient(url);

  const run = async (parameters: Parameters): Promise<Sample> => {
    const { stallMs } = parameters as unknown as StallRun;
    await service.ingestSync(logLine(0));
    await sink.reset('stall', 'ids');
    globalThis.gc?.();
    const rssBefore = process.memoryUsage.rss();
    let peak = rssBefore;
    const sampling = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 100);
    const delay = new EventLoopDelay();
    const tally = { next: 0, accepted: 0, other: 0, isOver: false };
    const producing = Array.from({ length: PRODUCERS }, () => produce(tally));
    await sleep(stallMs);
    const { p99 = NaN, max = NaN } = delay.stop();
    clearInterval(sampling);
    const { bufferedBytes, waitingDocs } = service.stats();
    tally.isOver = true;
    await sink.relent();
    await Promise.all(producing);
    await service.flush();
    await nextTurn();
    expectCount('documents accepted after the stall', tally.accepted, tally.next);
    expectCount('documents not accepted', tally.other, 0);
    const stored = await sink.timesStored(tally.next);
    expectCount('documents that arrived', stored.filter((times) => times > 0).length, tally.next);
    return { growthMb: (peak - rssBefore) / MB, p99, max, bufferedMb: bufferedBytes / MB, waitingDocs };
  };

  /** Takes a turn of the event loop for each call, as whoever receives documents from outside does. */
  async function produce(tally: {
    next: number;
    accepted: number;
    other: number;
    readonly isOver: boolean;
  }): Promise<void> {
    while (!tally.isOver) {
      const receipt = service.ingestBatch(Array.from({ length: DOCS_PER_CALL }, () => logLine(tally.next++)));
      void receipt.outcomes.then((outcomes) => {
        for (const { status } of outcomes)
          if (status === 'accepted') tally.accepted++;
          else tally.other++;
      });
      await receipt.admitted;
      await nextTurn();
    }
  }

  return { run, stop };
}
