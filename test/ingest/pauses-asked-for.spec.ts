import { docs, ids, startIngest, startSink, stopAll } from './support/bench.js';

/** Clocks of two sides, and a timer's own grain. */
const GRAIN_MS = 5;

describe('a server that answers every second request with 429 and Retry-After: 1', () => {
  afterEach(stopAll);

  it('gets everything, and no request sooner than it asked for', async () => {
    const sink = await startSink();
    const pauses: { readonly fromMs: number; readonly untilMs: number }[] = [];
    sink.fail((request, nth) => {
      if (nth % 2 === 1) return undefined;
      pauses.push({ fromMs: request.receivedAt, untilMs: request.receivedAt + 1_000 });
      return { kind: 'status', status: 429, retryAfter: '1' };
    });
    // One request at a time: two that were on their way together are no news of the pause.
    const service = startIngest(sink.url, { maxBatchDocs: 10, concurrency: 1 });
    const outcomes = await service.ingestBatch(docs(40)).outcomes;
    expect(outcomes.every((outcome) => outcome.status === 'accepted' && !outcome.maybeDuplicate)).toBe(true);
    expect(ids(sink)).toEqual(docs(40).map(({ id }) => id));
    expect(pauses).toHaveLength(3);
    for (const { receivedAt } of sink.requests)
      for (const { fromMs, untilMs } of pauses)
        if (receivedAt > fromMs) expect(receivedAt).toBeGreaterThanOrEqual(untilMs - GRAIN_MS);
    expect(service.stats()).toMatchObject({ requests: 7, retries: 3 });
  });

  it('pauses what other requests would send, too: only those already on their way come within a pause', async () => {
    const sink = await startSink();
    let pausedAtMs = Infinity;
    sink.fail((request, nth) => {
      if (nth !== 3) return { kind: 'slow', delayMs: 20 };
      pausedAtMs = request.receivedAt;
      return { kind: 'status', status: 429, retryAfter: '1' };
    });
    const service = startIngest(sink.url, { maxBatchDocs: 5, concurrency: 4 });
    await service.ingestBatch(docs(100)).wait();
    const within = sink.requests.filter(
      ({ receivedAt }) => receivedAt > pausedAtMs && receivedAt < pausedAtMs + 1_000 - GRAIN_MS,
    );
    expect(within.length).toBeLessThan(4);
    expect(new Set(ids(sink)).size).toBe(100);
  });
});
