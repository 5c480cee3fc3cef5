import { waitFor } from '@nest-baton/testing';
import { docs, INDEX, startIngest, startSink, stopAll } from './support/bench.js';
import { Verdicts } from './support/verdicts.js';

/** Requests that a second of denial may cost: probes at growing distances, each with one more try after asking for fresh headers. */
const MOST_REQUESTS_A_SECOND = 40;

describe('a key that is rotated midway', () => {
  afterEach(stopAll);

  it('opens the circuit: the server is not stormed, health is down, nothing goes unreported, and the new key is enough to go on', async () => {
    const sink = await startSink();
    let valid = 'Bearer old';
    let known = 'Bearer old';
    sink.fail(({ headers }) => (headers.authorization === valid ? undefined : { kind: 'status', status: 401 }));
    const verdicts = new Verdicts();
    const service = startIngest<{ readonly id: number }>(sink.url, {
      ...{ maxBatchDocs: 20, maxBufferDocs: 500, retry: { base: 50, factor: 2, cap: 200 } },
      ...{ auth: async () => ({ authorization: known }), hooks: verdicts.hooks },
    });
    verdicts.watch(service);
    let isOver = false;
    let next = 0;
    const produce = async (isTracked: boolean): Promise<void> => {
      while (!isOver) {
        const call = docs(10, next);
        next += call.length;
        if (isTracked) await verdicts.track(call, service.ingestBatch(call)).admitted;
        else {
          verdicts.forget(call);
          await service.ingest(call);
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const producing = Promise.all([produce(true), produce(true), produce(false)]);
    await waitFor(() => sink.documents(INDEX).length > 200, { description: 'it works with the old key' });

    valid = 'Bearer new';
    await waitFor(() => sink.requests.some(({ status }) => status === 401), { description: 'the old key is refused' });
    const before = sink.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(sink.requests.length - before).toBeLessThanOrEqual(MOST_REQUESTS_A_SECOND);
    // Still asked now and then, or nobody would ever know that it is well again.
    expect(sink.requests.length - before).toBeGreaterThan(2);
    expect((await service.health()).state).toBe('down');
    // Unsent documents stay, so the buffer is full and producers wait.
    expect(service.stats().waitingDocs).toBeGreaterThan(0);

    known = 'Bearer new';
    const stored = sink.documents(INDEX).length;
    await waitFor(() => sink.documents(INDEX).length > stored + 600, { description: 'it goes on with the new key' });
    isOver = true;
    await producing;
    await service.flush();
    // Not before: producers who are faster than the server keep the buffer full, which health says too.
    expect((await service.health()).state).toBe('up');
    expect(verdicts.unsettled).toBe(0);
    const { ended } = await verdicts.check(sink);
    expect(ended['unknown']).toBe(0);
    // What was given up is what was being tried while the key was wrong, each batch told with its reason; never what waited.
    expect(ended['discarded']).toBeLessThanOrEqual(20 * (MOST_REQUESTS_A_SECOND / 2));
    for (const outcome of (await verdicts.outcomes()).values())
      if (outcome.status !== 'accepted') expect(outcome).toMatchObject({ status: 'discarded', reason: 'server' });
    for (const [, reason] of verdicts.told.discarded) expect(reason).toBe('server');
  });
});
