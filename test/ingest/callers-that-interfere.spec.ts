import type { IngestEvents, IngestService } from '@nest-baton/ingest';
import { waitFor } from '@nest-baton/testing';
import { docs, errorOf, ids, startIngest, startSink, stopAll } from './support/bench.js';

describe('what documents, hooks and listeners do while a call is on its way in', () => {
  afterEach(stopAll);

  it('aborts the call also from within its own toJSON, and nothing of it is sent', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    const abort = new AbortController();
    const aborting = { toJSON: () => (abort.abort(new Error('enough')), { id: 1 }) };
    const receipt = service.ingestBatch([{ id: 0 }, aborting], { signal: abort.signal });
    expect(await receipt.outcomes).toMatchObject([
      { status: 'discarded', reason: 'aborted' },
      { status: 'discarded', reason: 'aborted' },
    ]);
    expect(await errorOf(receipt.wait())).toMatchObject({
      code: 'INGEST_NOT_CONFIRMED',
      cause: new Error('enough'),
    });
    await service.flush();
    expect(ids(sink)).toEqual([]);
  });

  it('aborts the call also from a listener that hears of the full buffer, and takes out what it had put there', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBufferDocs: 2 });
    const abort = new AbortController();
    service.on('full', () => abort.abort());
    const receipt = service.ingestBatch(docs(4), { signal: abort.signal });
    for (const outcome of await receipt.outcomes) expect(outcome).toMatchObject({ reason: 'aborted' });
    await receipt.admitted;
    await service.flush();
    expect(ids(sink)).toEqual([]);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });

  it.each([
    ['a hole', () => Object.assign(new Array<Record<string, unknown>>(3), { 0: { id: 0 }, 2: { id: 2 } })],
    ['a document that empties it', () => shrinking()],
  ])('settles every document of an array with %s', async (_what, array) => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    const given = array();
    const receipt = service.ingestBatch(given);
    await waitFor(() => receipt.settled, { description: 'it has settled' });
    const { accepted, discarded } = service.stats();
    expect(accepted + Object.values(discarded).reduce((sum, count) => sum + count, 0)).toBe(3);
  });

  it('loses nothing of a call that is let in while it still comes in', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 100 }]);
    const service = startIngest(sink.url, { concurrency: 1, maxBufferDocs: 2 });
    const first = service.ingestBatch([{ id: 0 }]);
    await waitFor(() => sink.requests.length === 1, { description: 'the first is being sent' });
    const abort = new AbortController();
    const given = service.ingestBatch([{ id: 1 }], { signal: abort.signal });
    const makesRoom = { toJSON: () => (abort.abort(), { id: 3 }) };
    await service.ingest([{ id: 2 }, makesRoom, { id: 4 }]);
    await service.flush();
    await Promise.all([first.wait(), given.outcomes]);
    expect(ids(sink)).toEqual([0, 2, 3, 4]);
    expect(service.stats()).toMatchObject({ accepted: 4, bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });

  it('lets the call in for which a listener made room when it heard of the full buffer', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBufferDocs: 1 });
    const abort = new AbortController();
    const given = service.ingestBatch([{ id: 0 }], { signal: abort.signal });
    service.on('full', () => abort.abort());
    await service.ingestSync([{ id: 1 }, { id: 2 }]);
    await given.outcomes;
    expect(ids(sink)).toEqual([1, 2]);
  });

  it('counts what a hook hands in for itself, not for the batch that the hook is told of', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 413 }]);
    const settled: IngestEvents['batchSettled'][] = [];
    const service: IngestService = startIngest(sink.url, {
      hooks: { onDiscard: (_doc, reason) => reason === 'too_large' && void service.ingest({ number: 1n }) },
    });
    service.on('batchSettled', (batch) => settled.push(batch));
    await service.ingest({ id: 0 });
    await service.flush();
    expect(settled).toMatchObject([{ documents: 1, discarded: { too_large: 1 } }]);
    expect(settled[0]?.discarded).toEqual({ too_large: 1 });
    expect(service.stats().discarded).toEqual({ too_large: 1, encode: 1 });
  });
});

/** Its first document takes the others away when it is encoded. */
function shrinking(): Record<string, unknown>[] {
  const array: Record<string, unknown>[] = [{ toJSON: () => ((array.length = 1), { id: 0 }) }, { id: 1 }, { id: 2 }];
  return array;
}
