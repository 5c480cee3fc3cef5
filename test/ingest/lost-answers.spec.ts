import { waitFor } from '@nest-baton/testing';
import { docs, errorOf, ids, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

describe('answers that get lost', () => {
  afterEach(stopAll);

  it.each([
    ['the connection is reset after the server processed', { kind: 'reset', when: 'after' }],
    ['the answer is truncated (TruncatedResponseRetried)', { kind: 'truncate' }],
    ['the answer never comes', { kind: 'stall', when: 'after' }],
  ] as const)('tries again and says maybeDuplicate when %s', async (_what, fault) => {
    const sink = await startSink();
    sink.fail([fault]);
    const service = startIngest(sink.url, { requestTimeout: 200 });
    expect(await service.ingestBatch([{ id: 1 }]).outcomes).toMatchObject([
      { status: 'accepted', maybeDuplicate: true },
    ]);
    expect(ids(sink)).toEqual([1, 1]);
  });

  it('calls a refused connection certain: no duplicate is possible', async () => {
    const sink = await startSink();
    const port = Number(new URL(sink.url).port);
    await sink.stop();
    const receipt = startIngest(`http://127.0.0.1:${port}`).ingestBatch([{ id: 1 }]);
    const later = await startSink({ port });
    expect(await receipt.outcomes).toMatchObject([{ status: 'accepted', maybeDuplicate: false }]);
    expect(ids(later)).toEqual([1]);
  });

  it('calls a complete error answer certain', async () => {
    const sink = await startSink();
    sink.fail([429, 500, 503].map((status) => ({ kind: 'status', status })));
    expect(await startIngest(sink.url).ingestBatch([{ id: 1 }]).outcomes).toMatchObject([{ maybeDuplicate: false }]);
  });

  it('reports instead of trying again where duplicates are worse', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'reset', when: 'after' });
    const undelivered: unknown[] = [];
    const service = startIngest(sink.url, {
      ambiguous: 'report',
      hooks: { onUndelivered: (lost) => void undelivered.push(...lost) },
    });
    expect(await errorOf(service.ingestSync({ id: 1 }))).toMatchObject({ code: 'INGEST_NOT_CONFIRMED' });
    await service.ingest({ id: 2 });
    await service.flush();
    expect(undelivered).toEqual([{ id: 2 }]);
    expect(ids(sink)).toEqual([1, 2]);
    expect(service.stats()).toMatchObject({ unknown: 2, retries: 0 });
  });

  it('never calls a document discarded by the server that may be there', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'reset', when: 'after' },
      { kind: 'status', status: 404 },
      { kind: 'status', status: 404 },
    ]);
    expect(await startIngest(sink.url).ingestBatch([{ id: 1 }]).outcomes).toMatchObject([{ status: 'unknown' }]);
  });

  it('flags every possible duplicate, over many requests with every fifth reset', async () => {
    const sink = await startSink();
    sink.fail((_request, nth) => (nth % 5 === 0 ? { kind: 'reset', when: 'after' } : undefined));
    const service = startIngest(sink.url, { maxBatchDocs: 100 });
    const receipts = Array.from({ length: 100 }, (_, i) => service.ingestBatch(docs(50, i * 50)));
    const outcomes = (await Promise.all(receipts.map((receipt) => receipt.outcomes))).flat();
    const counts = sink.counts(INDEX);
    expect(counts.size).toBe(5_000);
    outcomes.forEach((outcome, id) => {
      expect(outcome.status).toBe('accepted');
      if ((counts.get(id) ?? 0) > 1) expect(outcome).toMatchObject({ maybeDuplicate: true });
    });
    expect(service.stats()).toMatchObject({ accepted: 5_000, bufferedDocs: 0 });
  });

  it('frees the requests of a server that accepts and never answers', async () => {
    const sink = await startSink();
    sink.fail((_request, nth) => (nth <= 2 ? { kind: 'stall', when: 'before' } : undefined));
    const service = startIngest(sink.url, { requestTimeout: 100, concurrency: 1 });
    await service.ingestSync({ id: 1 });
    await waitFor(() => ids(sink).length === 1, { description: 'it arrived' });
    expect(service.stats().retries).toBe(2);
  });
});
