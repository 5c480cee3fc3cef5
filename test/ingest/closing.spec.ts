import { freePort, Gate, StallMeter, waitFor } from '@nest-baton/testing';
import { docs, errorOf, ids, startIngest, startSink, stopAll } from './support/bench.js';

describe('closing', () => {
  afterEach(stopAll);

  it('is safe before first use and any number of times, with one result (Close_BeforeIngest, Close_Idempotent)', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`);
    const [first, second] = await Promise.all([service.close(), service.close()]);
    expect(second).toBe(first);
    expect(await service.close()).toBe(first);
    expect(first).toMatchObject({ accepted: 0, discarded: {}, unknown: 0 });
  });

  it('is bounded with a full buffer, waiting calls and a dead server, and settles everybody', async () => {
    const undelivered: unknown[] = [];
    const discarded: unknown[] = [];
    const service = startIngest(`http://127.0.0.1:${await freePort()}`, {
      maxBufferDocs: 1_000,
      maxBatchDocs: 10,
      hooks: {
        onDiscard: (_doc, reason) => void discarded.push(reason),
        onUndelivered: (lost) => void undelivered.push(...lost),
      },
    });
    const receipt = service.ingestBatch(docs(500));
    const plain = service.ingest(docs(1_000, 500));
    const stalls = StallMeter.start();
    const begun = performance.now();
    const report = await service.close({ timeout: 200 });
    expect(performance.now() - begun).toBeLessThan(1_000 + stalls.stop());
    expect(report).toMatchObject({ accepted: 0, discarded: { closed: 1_500 }, unknown: 0 });
    await plain;
    expect(await errorOf(receipt.wait())).toMatchObject({ reason: 'closed' });
    expect(undelivered).toHaveLength(1_000);
    expect(discarded).toHaveLength(1_000);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });

  it('calls unknown what was sent and closed what was not', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'after' });
    const service = startIngest(sink.url, { concurrency: 1, maxBatchDocs: 2 });
    const receipt = service.ingestBatch(docs(4));
    await waitFor(() => ids(sink).length === 2, { description: 'the first two were stored' });
    expect(await service.close({ timeout: 50 })).toMatchObject({ discarded: { closed: 2 }, unknown: 2 });
    expect((await receipt.outcomes).map(({ status }) => status)).toEqual([
      'unknown',
      'unknown',
      'discarded',
      'discarded',
    ]);
  });

  it('rides out a failure that passes, and lets waiting calls in meanwhile (RidesOutTransientFailure)', async () => {
    const sink = await startSink();
    sink.fail((_request, nth) => (nth <= 3 ? { kind: 'status', status: 503, retryAfter: '30' } : undefined));
    const service = startIngest(sink.url, { maxBufferDocs: 5 });
    const receipt = service.ingestBatch(docs(10));
    await waitFor(() => sink.requests.length > 0, { description: 'the pause was asked for' });
    expect(await service.close()).toMatchObject({ accepted: 10, discarded: {}, unknown: 0 });
    await receipt.wait();
  });

  it('lets nothing slip between an enqueue and close', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBufferDocs: 50 });
    const outcomes: Promise<unknown>[] = [];
    let closed: Promise<unknown> | undefined;
    for (let i = 0; i < 200; i++) {
      if (i === 100) closed = service.close();
      outcomes.push(service.ingestBatch([{ id: i }]).outcomes);
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    const settled = (await Promise.all(outcomes)) as { status: string; reason?: string }[][];
    const accepted = settled.filter(([outcome]) => outcome?.status === 'accepted');
    expect(accepted).toHaveLength(sink.documents('app-logs').length);
    for (const [outcome] of settled)
      expect(['accepted', 'closed', 'buffer_full']).toContain(outcome?.reason ?? outcome?.status);
  });

  it('waits for the hook, but not longer than its time, and survives hooks that throw', async () => {
    const gate = new Gate();
    const service = startIngest(`http://127.0.0.1:${await freePort()}`, {
      hookTimeout: 100,
      hooks: {
        onDiscard: () => {
          throw new Error('a hook that fails');
        },
        onUndelivered: () => gate.pass(),
      },
    });
    await service.ingest(docs(3));
    const stalls = StallMeter.start();
    const begun = performance.now();
    expect(await service.close({ timeout: 10 })).toMatchObject({ discarded: { closed: 3 } });
    expect(performance.now() - begun).toBeLessThan(1_000 + stalls.stop());
    expect(gate.heldCount).toBe(1);
    gate.open();
  });

  it('waits for a hook that was called before, too', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'reset', when: 'before' }]);
    const gate = new Gate();
    const service = startIngest(sink.url, { ambiguous: 'report', hooks: { onUndelivered: () => gate.pass() } });
    await service.ingest({ id: 1 });
    await service.flush();
    expect(gate.heldCount).toBe(1);
    let hasClosed = false;
    const closing = service.close().then(() => (hasClosed = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(hasClosed).toBe(false);
    gate.open();
    await closing;
  });

  it('does not wait for an auth function that never answers', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { auth: () => new Promise(() => undefined) });
    const receipt = service.ingestBatch([{ id: 1 }]);
    expect(await service.close({ timeout: 50 })).toMatchObject({ discarded: { closed: 1 }, unknown: 0 });
    expect(receipt.settled).toBe(true);
  });
});
