import { getIngestToken, IngestModule, IngestService } from '@nest-baton/ingest';
import { IngestHealthIndicator, IngestHealthModule } from '@nest-baton/ingest/health';
import { freePort, waitFor } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { HealthIndicatorService } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { docs, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

describe('what health says', () => {
  afterEach(stopAll);

  it('is up before the first document, and while the server takes them', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    expect(await service.health()).toEqual({ state: 'up' });
    await service.ingestSync(docs(3));
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('is up although a producer hands in documents that the server refuses', async () => {
    const sink = await startSink({ validate: () => 'never' });
    sink.fail([undefined, { kind: 'status', status: 422 }]);
    const service = startIngest(sink.url, { stalledAfter: 1 });
    await service.ingestBatch(docs(3)).outcomes;
    await service.ingestBatch(docs(1)).outcomes;
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('is degraded while attempts fail, down when nothing was taken for stalledAfter, and up again with the first answer', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 500 });
    const service = startIngest(sink.url, { stalledAfter: 300 });
    const done = service.ingestSync(docs(1));
    await waitFor(() => sink.requests.length > 1, { description: 'a second attempt' });
    expect(await service.health()).toMatchObject({ state: 'degraded', reason: 'failing' });
    await waitFor(async () => (await service.health()).state === 'down', { description: 'health is down' });
    expect(await service.health()).toMatchObject({ reason: 'stalled' });
    sink.clearFaults();
    await done;
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('is down when a server that accepts connections answers nothing for stalledAfter', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const service = startIngest(sink.url, { stalledAfter: 100 });
    service.ingestBatch(docs(1));
    expect(await service.health()).toEqual({ state: 'up' });
    await waitFor(async () => (await service.health()).state === 'down', { description: 'health is down' });
    expect(await service.health()).toMatchObject({ reason: 'stalled', message: 'nothing was taken for 1 s' });
  });

  it('does not call documents stalled that wait for their maxDelay', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`, { maxDelay: '1h', stalledAfter: 1 });
    await service.ingest(docs(1));
    await waitFor(() => service.stats().lagMs > 20, { description: 'the document is 20 ms old' });
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('is degraded while the server asks for a pause', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 429, retryAfter: '60' }]);
    const service = startIngest(sink.url);
    service.ingestBatch(docs(1));
    await waitFor(async () => (await service.health()).state === 'degraded', { description: 'health is degraded' });
    expect(await service.health()).toMatchObject({ reason: 'paused', message: expect.stringMatching(/60 s/) });
  });

  it('is down when requests are not wanted, and up again with the first that is', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'status', status: 401 },
      { kind: 'status', status: 401 },
    ]);
    const service = startIngest(sink.url);
    await service.ingestBatch(docs(1)).outcomes;
    expect(await service.health()).toEqual({
      state: 'down',
      reason: 'denied',
      message: 'the server does not want our requests: it answered 401',
    });
    await service.ingestSync(docs(1));
    expect(await service.health()).toEqual({ state: 'up' });
  });

  it('is degraded while calls wait for room', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const service = startIngest(sink.url, { maxBufferDocs: 1 });
    void service.ingest(docs(3));
    expect(await service.health()).toMatchObject({ state: 'degraded', reason: 'full' });
  });

  it('is down after close', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`);
    await service.close();
    expect(await service.health()).toMatchObject({ state: 'down', reason: 'closed' });
  });
});

describe('the health indicator', () => {
  afterEach(stopAll);

  async function startModule() {
    const sink = await startSink();
    const other = await startSink();
    const module = await Test.createTestingModule({
      imports: [
        IngestHealthModule,
        IngestModule.forRoot({ url: sink.url, index: INDEX, maxDelay: 0 }),
        IngestModule.forRoot({ name: 'audit', url: other.url, index: INDEX, maxDelay: 0 }),
      ],
    }).compile();
    Logger.overrideLogger(false);
    await module.init();
    return { module, sink, indicator: module.get(IngestHealthIndicator) };
  }

  it('speaks for the instance that is named, under the key that is given', async () => {
    const { module, sink, indicator } = await startModule();
    sink.fail({ kind: 'status', status: 404 });
    await module.get(IngestService).ingestBatch(docs(1)).outcomes;
    expect(await indicator.isHealthy()).toMatchObject({ ingest: { status: 'down', reason: 'denied' } });
    expect(await indicator.isHealthy('audit', { name: 'audit' })).toEqual({ audit: { status: 'up' } });
    await module.close();
  });

  it('speaks for all indexes of a root by the worst of them, or for one', async () => {
    const sink = await startSink();
    sink.fail(({ index }) => (index === 'audit-logs' ? { kind: 'status', status: 404 } : undefined));
    const indexes = { audit: { index: 'audit-logs' } };
    const module = await Test.createTestingModule({
      imports: [
        IngestHealthModule,
        IngestModule.forRoot({ url: sink.url, index: INDEX, indexes, maxDelay: 0 }),
        IngestModule.forFeature(['audit']),
      ],
    }).compile();
    Logger.overrideLogger(false);
    await module.init();
    const indicator = module.get(IngestHealthIndicator);
    expect(await indicator.isHealthy()).toEqual({ ingest: { status: 'up' } });
    await module.get<IngestService>(getIngestToken('audit'), { strict: false }).ingestBatch(docs(1)).outcomes;
    expect(await indicator.isHealthy()).toMatchObject({
      ingest: { status: 'down', reason: 'denied', message: expect.stringMatching(/^audit: /) as string },
    });
    expect(await indicator.isHealthy('audit', { index: 'audit' })).toMatchObject({ audit: { status: 'down' } });
    expect(await module.get(IngestService).health()).toEqual({ state: 'up' });
    await expect(indicator.isHealthy('x', { index: 'audits' })).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      message: expect.stringContaining('audits') as string,
    });
    await module.close();
  });

  it('reports a degraded service, also to a Terminus that has no such state', async () => {
    const { module, sink, indicator } = await startModule();
    sink.fail([{ kind: 'status', status: 503, retryAfter: '60' }]);
    const service = module.get(IngestService);
    service.ingestBatch(docs(1));
    await waitFor(async () => (await service.health()).state === 'degraded', { description: 'health is degraded' });
    expect(await indicator.isHealthy('logs')).toMatchObject({ logs: { status: 'degraded', reason: 'paused' } });
    const check = module.get(HealthIndicatorService, { strict: false });
    const original = check.check.bind(check);
    const asTerminus11 = { check: (key: string) => Object.assign(original(key), { degraded: undefined }) };
    const older = new IngestHealthIndicator(asTerminus11 as never, { get: () => service } as never);
    expect(await older.isHealthy('logs')).toMatchObject({
      logs: { status: 'up', degraded: true, reason: 'paused' },
    });
    await service.close({ timeout: 0 });
    await module.close();
  });
});
