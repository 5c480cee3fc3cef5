import { createHook } from 'node:async_hooks';
import { jest } from '@jest/globals';
import { waitFor } from '@nest-baton/testing';
import { Agent } from 'undici';
import { docs, errorOf, ids, INDEX, records, startIngest, startSink, stopAll, text } from './support/bench.js';

describe('batching and a full buffer', () => {
  afterEach(stopAll);

  it('delivers everything in order with one request at a time (DeliversAllItemsInOrder)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { concurrency: 1, maxBatchDocs: 50 });
    for (const doc of docs(250)) await service.ingest(doc);
    await service.flush();
    expect(ids(sink)).toEqual(docs(250).map(({ id }) => id));
    expect(sink.requests).toHaveLength(5);
  });

  it('delivers each document once with several requests at a time (ConcurrentWorkersDeliverEachItemOnce)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { concurrency: 4, maxBatchDocs: 20 });
    await service.ingest(docs(1_000));
    await service.close();
    expect(sink.counts(INDEX).size).toBe(1_000);
    expect(sink.documents(INDEX)).toHaveLength(1_000);
  });

  it('sends a full batch at once (FlushTriggeredByBatchSize)', async () => {
    const sink = await startSink();
    await startIngest(sink.url, { maxDelay: '1h', maxBatchDocs: 3 }).ingest(docs(4));
    await waitFor(() => ids(sink).length === 3, { description: 'the full batch arrived' });
  });

  it('sends by the age of the oldest, not sooner (FlushTriggeredByTimer, FireAndForgetDoesNotIdleFlush)', async () => {
    const sink = await startSink();
    const begun = performance.now();
    await startIngest(sink.url, { maxDelay: 200 }).ingest({ id: 1 });
    await waitFor(() => ids(sink).length === 1, { description: 'the document arrived' });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(190);
  });

  it('delivers the rest on close (FlushRemainingOnClose, RetriesFailedFlushUntilSuccess)', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'status', status: 500 },
      { kind: 'status', status: 500 },
    ]);
    const service = startIngest(sink.url, { maxDelay: '1h' });
    await service.ingest(docs(5));
    expect(await service.close()).toMatchObject({ accepted: 5, discarded: {}, unknown: 0 });
    expect(ids(sink)).toEqual([0, 1, 2, 3, 4]);
  });

  it('compresses larger bodies, with their length, and asks auth each time (GzipCompressesBody, AppliesAuthHook)', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 503 }]);
    let asked = 0;
    const service = startIngest(`${sink.url}//`, {
      auth: async () => ({ Authorization: `Bearer ${++asked}`, 'Content-Type': 'text/plain' }),
    });
    await service.ingestSync(docs(500));
    expect(sink.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer 1', 'Bearer 2']);
    for (const request of sink.requests) {
      expect(request.path).toBe(`/api/v1/${INDEX}/ingest`);
      expect(request.headers).toMatchObject({ 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' });
      expect(request.headers['content-length']).toBe(String(request.body.length));
      expect(records(request)).toEqual(docs(500));
    }
  });

  it('ends every record with exactly one line break (NDJSONNoDoubleNewline)', async () => {
    const sink = await startSink();
    await startIngest(sink.url).ingestSync([{ id: 1 }, { id: 2, text: '\n\n' }]);
    expect(text(sink.requests[0]!)).toBe('{"id":1}\n{"id":2,"text":"\\n\\n"}\n');
  });

  it('discards what cannot be encoded and delivers its neighbours (JSONEncodeError_CallsOnDiscard)', async () => {
    const sink = await startSink();
    const discarded: unknown[] = [];
    const service = startIngest(sink.url, { hooks: { onDiscard: (_doc, reason) => discarded.push(reason) } });
    await service.ingest([{ id: 1 }, { id: 2n }, { id: 3 }]);
    expect(discarded).toEqual(['encode']);
    await service.flush();
    expect(ids(sink)).toEqual([1, 3]);
  });

  it('sends nothing when there is nothing but what cannot be encoded (I21)', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url, { maxBatchDocs: 2 });
    await service.ingest([{ id: 1n }, undefined, 'text']);
    await service.flush();
    expect(sink.requests).toHaveLength(0);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, discarded: { encode: 3 } });
    expect(await service.close()).toMatchObject({ accepted: 0, discarded: {} });
    expect(sink.requests).toHaveLength(0);
  });

  it('opens as many connections as it may have requests at a time, and keeps them', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'slow', delayMs: 20 });
    const service = startIngest(sink.url, { concurrency: 3, maxBatchDocs: 1 });
    await service.ingestSync(docs(12));
    await service.ingestSync(docs(12, 12));
    expect(sink.requests).toHaveLength(24);
    expect(sink.acceptedConnections).toBe(3);
  });

  it('lets tracked documents and those of nobody share a request, its compression and its connection', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    await service.ingest([{ id: 1, text: 'x'.repeat(2_000) }]);
    await service.ingestSync({ id: 2 });
    expect(sink.requests).toHaveLength(1);
    expect(records(sink.requests[0]!).map(({ id }) => id)).toEqual([1, 2]);
    expect(sink.requests[0]?.headers['content-encoding']).toBe('gzip');
    expect(sink.acceptedConnections).toBe(1);
  });

  it('sends by a dispatcher that it was given, and leaves it open', async () => {
    const sink = await startSink();
    const own = new Agent({ connections: 1 });
    const dispatch = jest.spyOn(own, 'dispatch');
    const service = startIngest(sink.url, { dispatcher: own });
    await service.ingestSync({ id: 1 });
    await service.close();
    expect(dispatch).toHaveBeenCalledTimes(1);
    expect([own.closed, own.destroyed]).toEqual([false, false]);
    await startIngest(sink.url, { dispatcher: own }).ingestSync({ id: 2 });
    expect(ids(sink)).toEqual([1, 2]);
    await own.close();
  });

  it('makes no promise and no other resource for a fire-and-forget document while there is room', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxDelay: '1h' });
    await service.ingest({ id: 0 });
    const made: string[] = [];
    const hook = createHook({ init: (_id, type) => void made.push(type) }).enable();
    const promises = new Set(docs(900, 1).map((doc) => service.ingest(doc)));
    hook.disable();
    expect(made).toEqual([]);
    expect(promises.size).toBe(1);
  });

  it('lets calls wait in the order they came, for room in documents', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'stall', when: 'before' }]);
    const service = startIngest(sink.url, { maxBufferDocs: 2, concurrency: 1, requestTimeout: 300 });
    const order: string[] = [];
    await service.ingest(docs(2));
    const plain = service.ingest({ id: 2 }).then(() => order.push('plain'));
    const receipt = service.ingestBatch([{ id: 3 }]);
    const tracked = receipt.admitted.then(() => order.push('tracked'));
    expect(service.stats()).toMatchObject({ bufferedDocs: 2, waitingDocs: 2 });
    await waitFor(() => sink.requests.length > 0, { description: 'the full buffer was sent' });
    expect(order).toEqual([]);
    await Promise.all([plain, tracked, receipt.wait()]);
    await service.flush();
    expect(order).toEqual(['plain', 'tracked']);
    expect(ids(sink)).toEqual([0, 1, 2, 3]);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0, lagMs: 0 });
  });

  it('sends what it holds when only bytes are full, instead of waiting for its age', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBufferBytes: 30, maxDelay: '1h' });
    await service.ingest(docs(8)); // nine bytes each
    await service.flush();
    expect(ids(sink)).toEqual(
      docs(8)
        .map(({ id }) => id)
        .slice(0, 6),
    );
    expect(service.stats().discarded).toEqual({ buffer_full: 2 });
  });

  it('refuses beyond the room to wait, and what could never fit', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const service = startIngest(sink.url, { maxBufferDocs: 2, maxBufferBytes: 1_000 });
    const receipt = service.ingestBatch([...docs(5), { id: 'x'.repeat(1_000) }]);
    await service.close({ timeout: 50 });
    const reasons = (await receipt.outcomes).map((o) => (o.status === 'discarded' ? o.reason : o.status));
    expect(reasons).toEqual(['unknown', 'unknown', 'closed', 'closed', 'buffer_full', 'too_large']);
  });

  it('refuses at once in discard mode, receipts and hook alike (DiscardsWhenBufferFull)', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 100 }]);
    const discarded: unknown[] = [];
    const service = startIngest(sink.url, {
      overflow: 'discard',
      maxBufferDocs: 3,
      hooks: { onDiscard: (doc, reason) => discarded.push([doc, reason]) },
    });
    await service.ingest(docs(5));
    expect(discarded).toEqual([
      [{ id: 3 }, 'buffer_full'],
      [{ id: 4 }, 'buffer_full'],
    ]);
    expect(await errorOf(service.ingestSync({ id: 9 }))).toMatchObject({ reason: 'buffer_full', retryable: true });
    await service.flush();
    expect(ids(sink)).toEqual([0, 1, 2]);
  });

  it('sends what it holds in discard mode too, instead of refusing until its age is reached', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { overflow: 'discard', maxBufferDocs: 3, maxDelay: '1h' });
    await service.ingest(docs(4));
    await waitFor(() => ids(sink).length === 3, { description: 'the full buffer was sent' });
    const bytes = startIngest(sink.url, { overflow: 'discard', maxBufferBytes: 30, maxDelay: '1h' });
    await bytes.ingest(docs(4, 10));
    await waitFor(() => ids(sink).length === 6, { description: 'the buffer without room was sent' });
  });

  it('takes out what waits before what makes room for it, so that nothing of the call slips in', async () => {
    const sink = await startSink();
    sink.fail((_request, nth) => (nth <= 2 ? { kind: 'stall', when: 'before' } : undefined));
    const service = startIngest(sink.url, { concurrency: 2, maxBatchDocs: 2, maxBufferDocs: 5, hints: 'on' });
    const first = [service.ingestBatch(docs(2)), service.ingestBatch(docs(2, 2))];
    await waitFor(() => sink.requests.length === 2, { description: 'all requests are busy' });
    const abort = new AbortController();
    const made = service.ingestBatch([{ id: 4 }], { signal: abort.signal });
    const receipt = service.ingestBatch(docs(5, 10), { signal: abort.signal });
    expect(service.stats()).toMatchObject({ bufferedDocs: 5, waitingDocs: 5 });
    abort.abort();
    for (const outcome of [...(await made.outcomes), ...(await receipt.outcomes)])
      expect(outcome).toMatchObject({ reason: 'aborted' });
    expect(service.stats()).toMatchObject({ bufferedDocs: 4, waitingDocs: 0 });
    await service.close({ timeout: 0 });
    for (const { settled } of first) expect(settled).toBe(true);
  });

  it('takes out what is not sealed when the signal fires, also what waits for room, and keeps the rest', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 150 }]);
    const service = startIngest(sink.url, { concurrency: 1, maxBufferDocs: 3 });
    const first = service.ingestBatch([{ id: 0 }]);
    await waitFor(() => sink.requests.length === 1, { description: 'the first is being sent' });
    const abort = new AbortController();
    const second = service.ingestBatch(docs(4, 1), { signal: abort.signal });
    const third = service.ingestBatch([{ id: 9 }]);
    expect(service.stats().waitingDocs).toBe(3);
    abort.abort(new Error('enough'));
    expect(await errorOf(second.wait())).toMatchObject({ code: 'INGEST_NOT_CONFIRMED', cause: abort.signal.reason });
    expect((await second.outcomes).every((o) => o.status === 'discarded' && o.reason === 'aborted')).toBe(true);
    await Promise.all([second.admitted, first.wait(), third.wait()]);
    expect(ids(sink)).toEqual([0, 9]);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });

  it('lets a signal end only the wait once the documents are on their way', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 100 }]);
    const abort = new AbortController();
    const receipt = startIngest(sink.url).ingestBatch([{ id: 1 }], { signal: abort.signal });
    await waitFor(() => sink.requests.length === 1, { description: 'it is being sent' });
    abort.abort();
    expect(await errorOf(receipt.wait())).toMatchObject({ code: 'INGEST_NOT_CONFIRMED' });
    expect(await receipt.outcomes).toMatchObject([{ status: 'accepted' }]);
    await receipt.wait();
  });

  it('keeps 2000 calls with signals, half of them aborted, in balance', async () => {
    const sink = await startSink();
    sink.fail((_request, nth) => (nth % 3 === 0 ? { kind: 'slow', delayMs: 5 } : undefined));
    const service = startIngest(sink.url, { maxBufferDocs: 100, maxBatchDocs: 10 });
    let accepted = 0;
    let aborted = 0;
    let full = 0;
    await Promise.all(
      docs(2_000).map(async (doc, i) => {
        const abort = new AbortController();
        const receipt = service.ingestBatch([doc], { signal: abort.signal });
        if (i % 2 === 0) setTimeout(() => abort.abort(), i % 17);
        const [outcome] = await receipt.outcomes;
        if (outcome?.status === 'accepted') accepted++;
        else if (outcome?.status === 'discarded' && outcome.reason === 'aborted') aborted++;
        else if (outcome?.status === 'discarded' && outcome.reason === 'buffer_full') full++;
      }),
    );
    expect(accepted + aborted + full).toBe(2_000);
    expect(sink.documents(INDEX)).toHaveLength(accepted);
    expect(sink.counts(INDEX).size).toBe(accepted);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });
});
