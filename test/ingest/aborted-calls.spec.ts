import { getEventListeners } from 'node:events';
import type { DocumentOutcome, IngestService } from '@nest-baton/ingest';
import { type FakeQuickwit, randomBetween, seededRandom } from '@nest-baton/testing';
import { collectGarbage } from '../support/collect-garbage.js';
import { docs, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

const CALLS = 20_000;
/** What a run of that size may leave behind: 100 bytes a call, which is less than the smallest receipt, listener or handle has. */
const LEFT_BEHIND_BYTES = 100 * CALLS;

type Ending = 'accepted' | 'aborted' | 'other';

/** One in three requests is answered 503, one in five takes its time: so that aborts meet calls that wait, that travel and that are tried again. */
function makeTrouble(sink: FakeQuickwit): void {
  sink.fail((_request, nth) => {
    if (nth % 3 === 0) return { kind: 'status', status: 503 };
    return nth % 5 === 0 ? { kind: 'slow', delayMs: 20 } : undefined;
  });
}

/** 20 000 calls at once, each with a signal of its own; half of them are aborted: before, in the same turn, or up to 300 ms later. */
async function callAndAbort(service: IngestService<{ readonly id: number }>, seed: number) {
  const random = seededRandom(seed);
  const signals: AbortSignal[] = [];
  const endings = await Promise.all(
    docs(CALLS).map(async (doc): Promise<[number, Ending]> => {
      const abort = new AbortController();
      signals.push(abort.signal);
      const stage = random();
      if (stage < 0.05) abort.abort();
      const receipt = service.ingestBatch([doc], { signal: abort.signal });
      if (stage >= 0.05 && stage < 0.1) abort.abort();
      if (stage >= 0.1 && stage < 0.2) queueMicrotask(() => abort.abort());
      if (stage >= 0.2 && stage < 0.5) setTimeout(() => abort.abort(), randomBetween(random, 0, 300));
      const [outcome] = await receipt.outcomes;
      return [doc.id, endingOf(outcome)];
    }),
  );
  return { endings: new Map(endings), listeners: signals.map((signal) => getEventListeners(signal, 'abort').length) };
}

function endingOf(outcome: DocumentOutcome | undefined): Ending {
  if (outcome?.status === 'accepted') return 'accepted';
  return outcome?.status === 'discarded' && outcome.reason === 'aborted' ? 'aborted' : 'other';
}

describe('20 000 calls at once, half of them aborted at any stage', () => {
  afterEach(stopAll);

  it('send nothing of what was aborted in time, deliver the rest, and leave no listener and no memory behind', async () => {
    const sink = await startSink();
    const service: IngestService<{ readonly id: number }> = startIngest(sink.url, {
      maxBatchDocs: 200,
      maxBufferDocs: CALLS / 2,
    });
    const heaps: number[] = [];
    for (const seed of [1, 2, 3]) {
      makeTrouble(sink);
      const { endings, listeners } = await callAndAbort(service, seed);
      const sent = new Set(sink.requests.flatMap(({ documents }) => documents.map(({ value }) => value?.['id'])));
      const counts = { accepted: 0, aborted: 0, other: 0 };
      for (const [id, ending] of endings) {
        counts[ending]++;
        if (ending === 'aborted' && sent.has(id)) throw new Error(`${id} was aborted before it was sent, and sent`);
      }
      expect(counts.other).toBe(0);
      expect(counts.aborted).toBeGreaterThan(CALLS / 10);
      expect(counts.accepted).toBeGreaterThan(CALLS / 3);
      expect(sink.documents(INDEX)).toHaveLength(counts.accepted);
      expect(sink.counts(INDEX).size).toBe(counts.accepted);
      expect(listeners.every((count) => count === 0)).toBe(true);
      expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0, inFlightRequests: 0 });
      sink.forget();
      endings.clear();
      collectGarbage();
      heaps.push(process.memoryUsage().heapUsed);
    }
    // The first run warms caches up.
    expect((heaps[2] ?? 0) - (heaps[1] ?? 0)).toBeLessThan(LEFT_BEHIND_BYTES);
  }, 60_000);

  it('may share one signal, which then has a listener a call at most, and none in the end', async () => {
    const sink = await startSink();
    const service: IngestService<{ readonly id: number }> = startIngest(sink.url, { maxBatchDocs: 500 });
    const abort = new AbortController();
    const receipts = docs(5_000).map((doc) => service.ingestBatch([doc], { signal: abort.signal }));
    const waits = receipts.map((receipt) => receipt.wait({ signal: abort.signal }));
    await Promise.all(waits);
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
    abort.abort();
    expect((await receipts[0]?.outcomes)?.[0]).toMatchObject({ status: 'accepted' });
  });
});
