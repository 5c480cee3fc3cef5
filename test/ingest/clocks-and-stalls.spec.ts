import { IngestService, resolveIngestOptions } from '@nest-baton/ingest';
import { StallMeter, VirtualClock } from '@nest-baton/testing';
import { docs, ids, startIngest, startSink, stopAll } from './support/bench.js';
import { NO_LIMIT } from './support/schedules/schedule.js';
import { VirtualSearchServer } from './support/schedules/virtual-search-server.js';

const HOUR_MS = 3_600_000;

/** A service in virtual time, with a server that takes `latencyMs` for each request. */
function inVirtualTime(clock: VirtualClock, latencyMs: number, faults: VirtualSearchServer['plan']['faults'] = [null]) {
  const nothing = (): undefined => undefined;
  const server = new VirtualSearchServer(
    {
      limitBytes: NO_LIMIT,
      faults,
      healsAt: faults[0] === null ? 0 : HOUR_MS * 24,
      latencies: [latencyMs],
      details: 'named',
      sayPoison: 'each',
    },
    clock,
    { onStart: nothing, onEnd: nothing, onPause: nothing, violation: nothing },
  );
  const options = { url: 'http://search.invalid', index: 'logs', dispatcher: server, compression: 'none' } as const;
  const service = new IngestService(
    resolveIngestOptions({ ...options, maxDelay: '1s', requestTimeout: '10s' }),
    'default',
    clock,
    () => 1,
  );
  return { server, service };
}

describe.each([
  ['forwards', HOUR_MS],
  ['backwards', -HOUR_MS],
])('a wall clock that jumps an hour %s', (_direction, jumpMs) => {
  let clock: VirtualClock;
  let giveBack: () => void;

  beforeEach(() => {
    clock = new VirtualClock();
    giveBack = clock.takeOverTimers();
  });
  afterEach(() => giveBack());

  it('sends no document sooner or later', async () => {
    const { server, service } = inVirtualTime(clock, 1);
    await service.ingest({ uid: 1 });
    await clock.advance(500);
    clock.jump(jumpMs);
    await clock.advance(499);
    expect(server.requests).toBe(0);
    await clock.advance(1);
    expect(server.requests).toBe(1);
  });

  it('ends no request that has time left, and not one later than its time', async () => {
    const { server, service } = inVirtualTime(clock, 9_000);
    const receipts = docs(50).map(({ id }) => service.ingestBatch([{ uid: id }]));
    await clock.advance(5_000);
    clock.jump(jumpMs);
    await clock.advance(20_000);
    for (const { outcomes } of receipts)
      expect(await outcomes).toMatchObject([{ status: 'accepted', maybeDuplicate: false }]);
    expect(service.stats()).toMatchObject({ retries: 0, unknown: 0 });
    const hanging = inVirtualTime(clock, 1, [{ kind: 'hang', stores: false, lateMs: 0 }]);
    void hanging.service.ingestBatch([{ uid: 1 }]);
    await clock.advance(1);
    clock.jump(jumpMs);
    await clock.advance(9_998);
    expect(hanging.service.stats().retries).toBe(0);
    await clock.advance(2);
    expect(hanging.service.stats().retries).toBe(1);
    expect(server.store).toHaveLength(50);
  });

  it('changes nothing about a pause, a back-off and the age that stats tell', async () => {
    const { server, service } = inVirtualTime(clock, 1, [{ kind: 'status', status: 429, retryAfter: '3' }, null]);
    const receipt = service.ingestBatch([{ uid: 1 }]);
    await clock.advance(10);
    clock.jump(jumpMs);
    expect(service.stats().lagMs).toBe(10);
    await clock.advance(2_900);
    expect(server.requests).toBe(1);
    await clock.advance(200);
    expect(server.requests).toBe(2);
    await clock.advance(10);
    expect(await receipt.outcomes).toMatchObject([{ status: 'accepted' }]);
  });

  it('does not change how long a close may take', async () => {
    const { service } = inVirtualTime(clock, 1, [{ kind: 'hang', stores: false, lateMs: 0 }]);
    const receipt = service.ingestBatch([{ uid: 1 }]);
    await clock.advance(10);
    const closing = service.close({ timeout: '2s' });
    await clock.advance(1_000);
    clock.jump(jumpMs);
    await clock.advance(999);
    expect(receipt.settled).toBe(false);
    await clock.advance(1);
    expect(await closing).toMatchObject({ unknown: 1, durationMs: 2_000 });
  });
});

describe('an event loop that stands still for a second', () => {
  afterEach(stopAll);

  it('expires nothing that has time left, doubles nothing, and sends at once what became due meanwhile', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'slow', delayMs: 50 });
    const service = startIngest(sink.url, { concurrency: 8, maxBatchDocs: 10, maxDelay: 200, requestTimeout: '3s' });
    const receipts = docs(80).map((doc) => service.ingestBatch([doc]));
    // So that requests are on their way when everything stops.
    while (sink.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await service.ingest({ id: 1_000 });
    standStill(1_000);
    const stalls = StallMeter.start();
    const begun = performance.now();
    await service.ingest({ id: 1_001 });
    for (const { outcomes } of receipts)
      expect(await outcomes).toMatchObject([{ status: 'accepted', maybeDuplicate: false }]);
    await service.flush();
    expect(performance.now() - begun).toBeLessThan(600 + stalls.stop());
    expect(service.stats()).toMatchObject({ accepted: 82, retries: 0, unknown: 0 });
    expect(new Set(ids(sink)).size).toBe(82);
    expect(ids(sink)).toHaveLength(82);
  });
});

/** Longer changes nothing: every timer that can be due is due after 200 ms already. */
function standStill(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}
