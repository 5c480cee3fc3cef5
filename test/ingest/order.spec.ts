import { waitFor } from '@nest-baton/testing';
import { docs, ids, startIngest, startSink, stopAll } from './support/bench.js';

describe('order with one request at a time', () => {
  afterEach(stopAll);

  /** One request is held, so that what follows stays in the open batch; `release` lets it fail and be repeated. */
  async function startHeld(options: { maxBufferDocs?: number } = {}) {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 300 }]);
    const service = startIngest(sink.url, { concurrency: 1, ...options });
    const head = service.ingestBatch(docs(1));
    await waitFor(() => sink.requests.length === 1, { description: 'the first request came' });
    return { sink, service, head };
  }

  it('is kept among the rest when aborts take documents out of the open batch, from its head, middle and tail', async () => {
    const { sink, service } = await startHeld();
    const abort = new AbortController();
    const { signal } = abort;
    const gone = [service.ingestBatch(docs(2, 100), { signal })];
    await service.ingest(docs(2, 1));
    gone.push(service.ingestBatch(docs(2, 200), { signal }));
    service.ingestBatch(docs(2, 3));
    gone.push(service.ingestBatch(docs(2, 300), { signal }));
    abort.abort();
    service.ingestBatch(docs(1, 5));
    await service.ingest(docs(1, 6));
    for (const receipt of gone)
      expect((await receipt.outcomes).map((outcome) => 'reason' in outcome && outcome.reason)).toEqual([
        'aborted',
        'aborted',
      ]);
    await service.flush();
    expect(ids(sink)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('is kept, with every verdict at its own document, when the gaps of many aborts are closed', async () => {
    const sink = await startSink({ validate: ({ id }) => (Number(id) % 7 === 0 ? 'unlucky' : undefined) });
    sink.fail([{ kind: 'slow', delayMs: 300 }]);
    const service = startIngest(sink.url, { concurrency: 1, maxBatchDocs: 100_000, maxBufferDocs: 100_000 });
    service.ingestBatch([{ id: 'head' }]);
    await waitFor(() => sink.requests.length === 1, { description: 'the first request came' });
    const abort = new AbortController();
    const kept: ReturnType<typeof service.ingestBatch>[] = [];
    for (let i = 0; i < 200; i++) {
      service.ingestBatch(docs(20, 10_000), { signal: abort.signal });
      kept.push(service.ingestBatch(docs(1, i)));
    }
    abort.abort();
    const outcomes = await Promise.all(kept.map(({ outcomes: of }) => of));
    expect(outcomes.map(([outcome]) => outcome?.status)).toEqual(
      kept.map((_, i) => (i % 7 === 0 ? 'discarded' : 'accepted')),
    );
    expect(ids(sink)).toEqual([
      'head',
      ...docs(200)
        .map(({ id }) => id)
        .filter((id) => id % 7 !== 0),
    ]);
    expect(sink.requests).toHaveLength(2);
  });

  it('is kept between what is let in by the room that an abort makes and what comes later', async () => {
    const { sink, service } = await startHeld({ maxBufferDocs: 3 });
    const abort = new AbortController();
    service.ingestBatch(docs(2, 100), { signal: abort.signal });
    const waiting = service.ingestBatch(docs(2, 1));
    abort.abort();
    await waiting.admitted;
    await service.ingest(docs(2, 3));
    await service.flush();
    expect(ids(sink)).toEqual([0, 1, 2, 3, 4]);
  });
});
