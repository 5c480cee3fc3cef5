import { StallMeter, waitFor } from '@nest-baton/testing';
import { docs, ids, startIngest, startSink, stopAll } from '../support/bench.js';

describe('with hints on', () => {
  afterEach(stopAll);

  it('does not wait for others when idle (FlushesOnIdleBeforeMaxDelay)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { hints: 'on', maxDelay: '30s' });
    const stalls = StallMeter.start();
    const begun = performance.now();
    await service.ingestSync({ id: 1 });
    expect(performance.now() - begun).toBeLessThan(2_000 + stalls.stop());
  });
});

describe('with hints off', () => {
  afterEach(stopAll);

  it('lets a tracked document leave by its age', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { hints: 'off', maxDelay: '200ms' });
    const begun = performance.now();
    await service.ingestSync({ id: 1 });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(190);
    expect(ids(sink)).toEqual([1]);
  });

  it('keeps it until then, also when a request has ended, and lets calls made meanwhile travel along', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { hints: 'off', maxDelay: '400ms', maxBatchDocs: 3 });
    const byCount = service.ingestBatch(docs(3));
    const left = service.ingestBatch(docs(1, 3));
    await byCount.wait();
    const more = service.ingestBatch(docs(1, 4));
    expect(sink.requests).toHaveLength(1);
    expect(left.settled).toBe(false);
    await Promise.all([left.wait(), more.wait()]);
    expect(sink.requests).toHaveLength(2);
  });

  it('lets it leave by count, by size, by flush and by close', async () => {
    const sink = await startSink();
    const options = { hints: 'off', maxDelay: '1h', maxBatchBytes: 100 } as const;
    const service = startIngest(sink.url, { ...options, maxBatchDocs: 2 });
    await service.ingestSync(docs(2));
    await service.ingestSync({ text: 'x'.repeat(100) });
    const flushed = service.ingestBatch(docs(1));
    await service.flush();
    expect(flushed.settled).toBe(true);
    const closed = service.ingestBatch(docs(1));
    await service.close();
    await closed.wait();
    expect(sink.requests).toHaveLength(4);
  });

  it('does the same in the lane of documents that wait for the commit', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { hints: 'off', commit: 'wait_for', maxDelay: '150ms' });
    const begun = performance.now();
    await service.ingestSync({ id: 1 });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(140);
  });

  it('does not let a full buffer wait for anybody’s age', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { hints: 'off', maxDelay: '1h', maxBufferDocs: 2 });
    await service.ingest(docs(4));
    await waitFor(() => ids(sink).length === 4, { description: 'all four were stored' });
  });
});
