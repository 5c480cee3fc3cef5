import { readFileSync } from 'node:fs';
import { INGEST_METRICS, IngestModule, IngestService, getIngestToken } from '@nest-baton/ingest';
import { freePort, waitFor } from '@nest-baton/testing';
import { Test } from '@nestjs/testing';
import { docs, INDEX, startIngest, startSink, stopAll } from './support/bench.js';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { metricRows, plainRows } from '../support/documented-metrics.js';

describe('metrics', () => {
  let points: CollectedMetrics;

  beforeEach(() => (points = CollectedMetrics.register()));

  afterEach(async () => {
    await stopAll();
    await points.unregister();
  });

  it('belong to this version of the package', () => {
    const { name, version } = JSON.parse(readFileSync('libs/ingest/package.json', 'utf8')) as Record<string, string>;
    expect(INGEST_METRICS).toMatchObject({ package: name, version });
  });

  it('are in the README, each with a row', () => {
    expect(plainRows('libs/ingest')).toEqual(expect.arrayContaining(metricRows(INGEST_METRICS)));
  });

  it('count what settles, by outcome and reason, and measure batches and requests', async () => {
    const sink = await startSink({ validate: ({ id }) => (id === 3 ? 'not this one' : undefined) });
    const service = startIngest<unknown>(sink.url);
    await service.ingestBatch(docs(10)).outcomes;
    await service.ingestBatch([{ n: 1n }]).outcomes;
    await service.ingest(Symbol('no document'));
    await service.ingestBatch([{ id: 1 }], { signal: AbortSignal.abort() }).outcomes;
    expect(await points.look()).toMatchObject({
      'baton.ingest.documents.settled default accepted': 9,
      'baton.ingest.documents.settled default discarded': 4,
      'baton.ingest.documents.discarded default rejected': 1,
      'baton.ingest.documents.discarded default encode': 2,
      'baton.ingest.documents.discarded default aborted': 1,
      'baton.ingest.request.duration default accepted': 1,
      'baton.ingest.batch.duration default': 1,
      'baton.ingest.batch.documents default': 1,
      'baton.ingest.batch.size default': 1,
    });
  });

  it('tell what every attempt meant, and who may be there twice', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'reset', when: 'after' },
      { kind: 'status', status: 503 },
      { kind: 'status', status: 413 },
    ]);
    const service = startIngest(sink.url, { concurrency: 1 });
    await service.ingestSync(docs(2));
    expect(await points.look()).toMatchObject({
      'baton.ingest.request.duration default ambiguous': 1,
      'baton.ingest.request.duration default retry': 1,
      'baton.ingest.request.duration default too_large': 1,
      'baton.ingest.request.duration default accepted': 2,
      'baton.ingest.documents.maybe_duplicate default': 2,
      'baton.ingest.batch.duration default': 2,
    });
    sink.fail([
      { kind: 'status', status: 401 },
      { kind: 'status', status: 401 },
    ]);
    await service.ingestBatch(docs(1)).outcomes;
    sink.fail([{ kind: 'status', status: 422 }]);
    await service.ingestBatch(docs(1)).outcomes;
    expect(await points.look()).toMatchObject({
      'baton.ingest.request.duration default denied': 2,
      'baton.ingest.request.duration default refused': 1,
      'baton.ingest.documents.discarded default server': 2,
    });
  });

  it('show the buffer, who waits, what runs and how old it is', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'after' });
    const service = startIngest(sink.url, { concurrency: 1, maxBatchDocs: 2, maxBufferDocs: 4 });
    void service.ingest(docs(6));
    await waitFor(() => service.stats().lagMs > 20 && service.stats().inFlightRequests === 1, {
      description: 'a request runs for 20 ms',
    });
    const shown = await points.look();
    expect(shown).toMatchObject({
      'baton.ingest.buffer.documents default': 4,
      'baton.ingest.buffer.size default': 36,
      'baton.ingest.waiting.documents default': 2,
      'baton.ingest.requests.in_flight default': 1,
    });
    expect(shown['baton.ingest.lag default']).toBeGreaterThan(0.02);
    expect(shown['baton.ingest.lag default']).toBeLessThan(5);
    await service.close({ timeout: 0 });
    const atClose = await points.look();
    expect(atClose).toMatchObject({
      'baton.ingest.documents.settled default unknown': 2,
      'baton.ingest.documents.settled default discarded': 4,
      'baton.ingest.documents.discarded default closed': 4,
    });
    // Nothing of a closed service is read any more.
    expect(Object.keys(atClose).filter((name) => name.includes('buffer') || name.includes('lag'))).toEqual([]);
  });

  it('tell instances apart, and end with the application', async () => {
    const sink = await startSink();
    const module = await Test.createTestingModule({
      imports: [
        IngestModule.forRoot({ url: sink.url, index: INDEX, maxDelay: 0 }),
        IngestModule.forRoot({ name: 'audit', url: sink.url, index: 'audit-logs', maxDelay: 0 }),
      ],
    }).compile();
    await module.init();
    await module.get(IngestService).ingestSync(docs(2));
    await module.get<IngestService>(getIngestToken('audit')).ingestSync(docs(3));
    expect(await points.look()).toMatchObject({
      'baton.ingest.documents.settled default accepted': 2,
      'baton.ingest.documents.settled audit accepted': 3,
      'baton.ingest.buffer.documents default': 0,
      'baton.ingest.buffer.documents audit': 0,
    });
    await module.close();
    expect(await points.look()).toEqual({});
  });

  it('cost nothing and break nothing where no SDK is registered', async () => {
    await points.unregister();
    const sink = await startSink();
    const service = startIngest(sink.url);
    await service.ingestSync(docs(1));
    await service.close();
    expect(service.stats()).toMatchObject({ accepted: 1 });
    points = CollectedMetrics.register();
    expect(await points.look()).toEqual({});
  });

  it('count buffer_full and too_large at the door', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`, {
      maxBufferDocs: 1,
      maxBufferBytes: 100,
      maxDelay: '1h',
      overflow: 'discard',
    });
    await service.ingest([{ id: 1 }, { id: 2 }, { text: 'x'.repeat(100) }]);
    expect(await points.look()).toMatchObject({
      'baton.ingest.documents.discarded default buffer_full': 1,
      'baton.ingest.documents.discarded default too_large': 1,
    });
  });
});
