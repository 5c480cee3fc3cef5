import type { IngestEvents, IngestService } from '@nest-baton/ingest';
import { freePort, waitFor } from '@nest-baton/testing';
import { docs, startIngest, startSink, stopAll } from './support/bench.js';

const NAMES = [
  'batchSettled',
  'rejected',
  'retry',
  'ambiguous',
  'paused',
  'tooLarge',
  'denied',
  'recovered',
  'full',
  'closed',
] as const satisfies readonly (keyof IngestEvents)[];

/** Everything that is told, in order. */
function record(service: IngestService<never>): { readonly name: string; readonly told: Record<string, unknown> }[] {
  const all: { name: string; told: Record<string, unknown> }[] = [];
  for (const name of NAMES) service.on(name, (told) => void all.push({ name, told: { ...told } }));
  return all;
}

describe('telling what happens', () => {
  afterEach(stopAll);

  it('tells of each batch once, never of single documents', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBatchDocs: 100, maxDelay: '1h' });
    const told = record(service);
    await service.ingest(docs(300));
    await service.flush();
    expect(told.map(({ name }) => name)).toEqual(['batchSettled', 'batchSettled', 'batchSettled']);
    expect(told[0]?.told).toEqual({
      documents: 100,
      bytes: 990,
      commit: 'auto',
      accepted: 100,
      discarded: {},
      unknown: 0,
      maybeDuplicates: 0,
      durationMs: expect.any(Number),
    });
  });

  it('tells of failures, of the first ambiguity, and that the server is back', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'reset', when: 'after' },
      { kind: 'reset', when: 'before' },
      { kind: 'status', status: 500 },
    ]);
    const service = startIngest(sink.url);
    const told = record(service);
    await service.ingestSync(docs(2));
    expect(told.map(({ name }) => name)).toEqual(['ambiguous', 'retry', 'retry', 'retry', 'recovered', 'batchSettled']);
    expect(told[1]?.told).toMatchObject({ documents: 2, attempt: 1, isAmbiguous: true });
    expect(told[3]?.told).toMatchObject({ attempt: 3, isAmbiguous: false, cause: expect.anything() });
    expect(told[4]?.told['afterMs']).toBeGreaterThan(0);
    expect(told[5]?.told).toMatchObject({ accepted: 2, maybeDuplicates: 2 });
  });

  it('tells of a pause that the server asks for', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 429, retryAfter: '1' }]);
    const service = startIngest(sink.url);
    const told = record(service);
    await service.ingestSync(docs(1));
    expect(told.map(({ name }) => name)).toEqual(['paused', 'retry', 'recovered', 'batchSettled']);
    expect(told[0]?.told).toEqual({ pauseMs: 1_000 });
  });

  it('tells of a limit that it learned, and of each part that settles', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 413 }]);
    const service = startIngest(sink.url, { concurrency: 1, compression: 'none' });
    const told = record(service);
    await service.ingestSync(docs(4));
    expect(told.map(({ name }) => name)).toEqual(['tooLarge', 'batchSettled', 'batchSettled']);
    expect(told[0]?.told).toEqual({ documents: 4, wireBytes: 36, limitBytes: 18 });
    expect(told.slice(1).map(({ told: { documents } }) => documents)).toEqual([2, 2]);
  });

  it('tells of requests that are not wanted, after asking for credentials again', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 403, message: 'go away' });
    const service = startIngest(sink.url);
    const told = record(service);
    await service.ingestBatch(docs(3)).outcomes;
    expect(told.map(({ name }) => name)).toEqual(['retry', 'denied', 'batchSettled']);
    expect(told[1]?.told).toMatchObject({ documents: 3, status: 403, cause: expect.objectContaining({}) });
    expect(told[2]?.told).toMatchObject({ discarded: { server: 3 } });
  });

  it('tells of rejected documents as the hook does', async () => {
    const sink = await startSink({ validate: ({ id }) => (id === 1 ? 'no' : undefined) });
    const reports: unknown[] = [];
    const service = startIngest(sink.url, { hooks: { onReject: (report) => reports.push(report) } });
    const told = record(service);
    await service.ingestBatch(docs(3)).outcomes;
    expect(told.map(({ name }) => name)).toEqual(['batchSettled', 'rejected']);
    expect([told[1]?.told]).toEqual(reports);
  });

  it('tells once that the buffer is full while calls wait, and again after all of them got in', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'stall', when: 'before' }]);
    const service = startIngest(sink.url, { maxBufferDocs: 2, concurrency: 1, requestTimeout: 100 });
    const told = record(service);
    await Promise.all([service.ingest(docs(3)), service.ingest(docs(1, 3))]);
    await service.flush();
    expect(told.filter(({ name }) => name === 'full')).toEqual([
      { name: 'full', told: { bufferedDocs: 2, bufferedBytes: 18 } },
    ]);
    await service.ingest(docs(3));
    expect(told.filter(({ name }) => name === 'full')).toHaveLength(2);
  });

  it('tells what was left when it closed, and survives listeners that throw', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`);
    const told = record(service);
    for (const name of NAMES)
      service.on(name, () => {
        throw new Error('a listener of the test');
      });
    const receipt = service.ingestBatch(docs(2));
    await waitFor(() => told.some(({ name }) => name === 'retry'), { description: 'a retry' });
    const report = await service.close({ timeout: 30 });
    expect(told.at(-1)).toEqual({ name: 'closed', told: report });
    expect(report).toMatchObject({ discarded: { closed: 2 } });
    expect(receipt.settled).toBe(true);
  });

  it('tells no more once a listener is taken off', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    const told: unknown[] = [];
    const stop = service.on('batchSettled', (batch) => told.push(batch));
    await service.ingestSync(docs(1));
    stop();
    stop();
    await service.ingestSync(docs(1));
    expect(told).toHaveLength(1);
  });
});
