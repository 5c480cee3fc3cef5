import { type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import { docs, startIngest, startSink, stopAll } from './support/bench.js';

/**
 * Shorter than the minute that an operator would watch, and tighter: with requests that are given up after 300 ms the buffer is sent ten times over in
 * these seconds, so that what leaks with a request or a document would show.
 */
const SECONDS = 6;
const GROWTH_BYTES = 8 * 1_024 * 1_024;

interface Held {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly bufferedBytes: number;
  readonly waitingDocs: number;
  readonly retries: number;
}

let client: ChildWorker | undefined;

describe('a server that accepts and never answers', () => {
  afterEach(async () => {
    await client?.stop();
    await stopAll();
  });

  it('costs a process no more memory the longer it lasts, and a close tells of everything', async () => {
    const sink = await startSink();
    sink.failUnread({ kind: 'stall' });
    client = await startProcess({
      entry: 'test/ingest/support/hanging-server-client.ts',
      args: [sink.url, String(SECONDS)],
    });
    const closed = JSON.parse((await client.waitForLine(/^closed /, 30_000)).slice(7)) as Record<string, unknown>;
    const [early, late] = client.lines
      .filter((line) => line.startsWith('held '))
      .map((line) => JSON.parse(line.slice(5)) as Held);
    if (early === undefined || late === undefined) throw new Error('the client did not look twice');
    expect(late.retries).toBeGreaterThan(early.retries + 10);
    expect(late.bufferedBytes).toBeLessThanOrEqual(8 * 1_024 * 1_024);
    expect(late.waitingDocs).toBeGreaterThan(0);
    expect(late.rss - early.rss).toBeLessThan(GROWTH_BYTES);
    expect(late.heapUsed + late.external - early.heapUsed - early.external).toBeLessThan(GROWTH_BYTES);
    // Bodies travelled, so part of the documents may be there for all the client knows.
    expect(closed).toMatchObject({ accepted: 0, undelivered: closed['handedIn'] });
    expect(closed['durationMs']).toBeLessThan(1_500);
  }, 60_000);

  it('makes calls wait, which end with unknown at a close if they were sent and with closed if not', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const service = startIngest(sink.url, { requestTimeout: 100, maxBufferDocs: 20, maxBatchDocs: 5, concurrency: 2 });
    const inside = service.ingestBatch(docs(20));
    const outside = service.ingestBatch(docs(10, 20));
    let isAdmitted = false;
    void outside.admitted.then(() => (isAdmitted = true));
    await waitFor(() => service.stats().retries >= 4, { description: 'requests were given up' });
    expect(isAdmitted).toBe(false);
    expect(inside.settled).toBe(false);
    const report = await service.close({ timeout: 50 });
    expect((await inside.outcomes).slice(0, 10).map(({ status }) => status)).toEqual(Array(10).fill('unknown'));
    expect(await outside.outcomes).toEqual(Array(10).fill({ status: 'discarded', reason: 'closed' }));
    expect(report).toMatchObject({ accepted: 0, unknown: 10, discarded: { closed: 20 } });
    await outside.admitted;
  });

  it('refuses calls at once where they are not to wait', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const discarded: string[] = [];
    const hooks = { onDiscard: (_doc: unknown, reason: string) => void discarded.push(reason) };
    const service = startIngest(sink.url, { overflow: 'discard', maxBufferDocs: 20, hooks });
    await service.ingest(docs(30));
    expect(discarded).toEqual(Array(10).fill('buffer_full'));
    expect(await service.ingestBatch([{ id: 99 }]).outcomes).toEqual([{ status: 'discarded', reason: 'buffer_full' }]);
  });
});
