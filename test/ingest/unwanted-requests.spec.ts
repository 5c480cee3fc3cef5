import { FakeQuickwit, waitFor } from '@nest-baton/testing';
import { docs, errorOf, ids, startIngest, startSink, stopAll } from './support/bench.js';

/** Denies with the key that is not `keys.good`. */
async function startLocked(keys: { good: string }): Promise<FakeQuickwit> {
  const sink = await startSink();
  sink.fail(({ headers }) => (headers.authorization === keys.good ? undefined : { kind: 'status', status: 401 }));
  return sink;
}

describe('a server that does not want our requests', () => {
  afterEach(stopAll);

  it('costs the one batch that found out; all others stay, one at a time asks again, and it recovers by itself', async () => {
    const keys = { good: 'new', ours: 'old' };
    const sink = await startLocked(keys);
    const service = startIngest(sink.url, {
      auth: () => ({ authorization: keys.ours }),
      concurrency: 4,
      maxBatchDocs: 10,
      maxDelay: 5,
    });
    const first = service.ingestBatch(docs(10));
    expect((await first.outcomes).map((outcome) => outcome.status === 'discarded' && outcome.reason)).toEqual(
      Array(10).fill('server'),
    );
    const others = [1, 2, 3, 4, 5].map((i) => service.ingestBatch(docs(10, 10 * i)));
    await waitFor(() => sink.requests.length >= 5, { description: 'some probes' });
    expect(others.map(({ settled }) => settled)).toEqual([false, false, false, false, false]);
    expect(service.stats()).toMatchObject({ circuit: 'open', bufferedDocs: 50 });
    expect(service.stats().inFlightRequests).toBeLessThanOrEqual(1);
    expect(await service.health()).toMatchObject({ state: 'down', reason: 'denied' });
    keys.ours = 'new';
    await Promise.all(others.map((receipt) => receipt.wait()));
    expect(ids(sink)).toHaveLength(50);
    expect(service.stats().circuit).toBe('closed');
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('does not spin: the wait between two probes grows', async () => {
    const keys = { good: 'new' };
    const sink = await startLocked(keys);
    const service = startIngest(sink.url, { retry: { base: 20, factor: 2, cap: 10_000 } });
    await errorOf(service.ingestSync({ id: 1 }));
    const waiting = service.ingestBatch(docs(1, 2));
    const before = sink.requests.length;
    // Waits of 20, 40, 80, 160 ms, each at least by half: not more than five probes fit into this time.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sink.requests.length - before).toBeLessThanOrEqual(5);
    expect(waiting.settled).toBe(false);
  });

  it('is found out once more while closing, and what it denies then is server', async () => {
    const sink = await startLocked({ good: 'new' });
    const service = startIngest(sink.url, { retry: { base: '10s', cap: '10s' } });
    await errorOf(service.ingestSync({ id: 1 }));
    const waiting = service.ingestBatch(docs(3, 2));
    const report = await service.close({ timeout: '5s' });
    expect(report).toMatchObject({ discarded: { server: 3 }, unknown: 0 });
    expect((await waiting.outcomes)[0]).toMatchObject({ status: 'discarded', reason: 'server' });
    expect(report.durationMs).toBeLessThan(4_000);
  });

  it('is not told from a probe that gets no verdict: another follows', async () => {
    const keys = { good: 'new', ours: 'old' };
    const sink = await startLocked(keys);
    const service = startIngest(sink.url, { auth: () => ({ authorization: keys.ours }) });
    await errorOf(service.ingestSync({ id: 1 }));
    keys.ours = 'new';
    let probes = 0;
    sink.fail(() => (++probes <= 2 ? { kind: 'status', status: 503 } : undefined));
    await service.ingestSync({ id: 2 });
    expect(ids(sink)).toEqual([2]);
    expect(probes).toBe(3);
  });

  it('a proxy that finds a request too large before it looks at credentials opens nothing', async () => {
    const keys = { good: 'new', ours: 'old' };
    const sink = await startSink({ maxContentLength: 200 });
    sink.fail(({ headers }) => (headers.authorization === keys.good ? undefined : { kind: 'status', status: 401 }));
    const service = startIngest(sink.url, { auth: () => ({ authorization: keys.ours }), compression: 'none' });
    await errorOf(service.ingestSync({ id: 1 }));
    const large = service.ingestBatch(docs(40, 2));
    await waitFor(() => sink.requests.length >= 6, { description: 'some probes' });
    expect(service.stats().circuit).toBe('open');
    keys.ours = 'new';
    await large.wait();
    expect(service.stats().discarded).toEqual({ server: 1 });
  });
});

describe('documents that found no room', () => {
  afterEach(stopAll);

  it('leave by their age once they are in, without anything else happening', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBufferDocs: 2, maxDelay: 100, concurrency: 1 });
    // The third finds the buffer full, which sends the first two; when it is let in, nothing is full any more.
    for (const doc of docs(3)) void service.ingest(doc);
    await waitFor(() => sink.documents('app-logs').length === 3, { timeoutMs: 3_000, description: 'all three' });
  });
});
