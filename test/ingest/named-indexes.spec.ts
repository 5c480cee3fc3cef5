import { getIngestToken, InjectIngest, IngestModule, type IngestOptions, IngestService } from '@nest-baton/ingest';
import { hintsUnderTest } from '@nest-baton/testing';
import { type DynamicModule, Inject, Injectable, Logger, Module } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { docs, errorOf, ids, INDEX, startSink, stopAll } from './support/bench.js';

const AUDIT = 'audit-logs';
const open: TestingModule[] = [];

async function start(...imports: readonly DynamicModule[]): Promise<TestingModule> {
  const module = await Test.createTestingModule({ imports: [...imports] }).compile();
  open.push(module);
  // Testing modules bring a logger of their own.
  Logger.overrideLogger(false);
  return module.init();
}

function startError(...imports: readonly DynamicModule[]): Promise<Record<string, unknown>> {
  return errorOf(start(...imports));
}

function optionsOf(url: string): IngestOptions {
  const indexes = { audit: { index: AUDIT }, metrics: { index: 'metrics' } };
  return { url, index: INDEX, indexes, retry: { base: 5, cap: 50 }, maxDelay: 20, hints: hintsUnderTest() };
}

function serviceOf(module: TestingModule, name?: string, rootName?: string): IngestService {
  return module.get<IngestService>(getIngestToken(name, rootName), { strict: false });
}

describe('indexes with names', () => {
  afterEach(async () => {
    for (const module of open.splice(0)) await module.close();
    await stopAll();
  });

  it('are injected by their names where forFeature names them, one service for all modules', async () => {
    const sink = await startSink();

    @Injectable()
    class First {
      constructor(
        @Inject(IngestService) readonly logs: IngestService,
        @InjectIngest('audit') readonly audit: IngestService,
      ) {}
    }
    @Injectable()
    class Second {
      constructor(@InjectIngest('audit') readonly audit: IngestService) {}
    }
    @Module({ imports: [IngestModule.forFeature(['audit'])], providers: [First] })
    class FirstModule {}
    @Module({ imports: [IngestModule.forFeature(['metrics', 'audit', 'audit'])], providers: [Second] })
    class SecondModule {}

    const module = await start(
      IngestModule.forRoot(optionsOf(sink.url)),
      { module: FirstModule },
      { module: SecondModule },
    );
    const [first, second] = [module.get(First, { strict: false }), module.get(Second, { strict: false })];
    expect(first.audit).toBe(second.audit);
    expect(first.audit).not.toBe(first.logs);
    await Promise.all([first.logs.ingestSync({ id: 1 }), first.audit.ingestSync({ id: 2 })]);
    expect([ids(sink), sink.documents(AUDIT)]).toEqual([[1], [{ id: 2 }]]);
  });

  it('are not injected where no forFeature names them', async () => {
    const sink = await startSink();

    @Injectable()
    class Consumer {
      constructor(@InjectIngest('audit') readonly audit: IngestService) {}
    }
    @Module({ providers: [Consumer] })
    class WithoutFeature {}

    const error = await startError(IngestModule.forRoot(optionsOf(sink.url)), { module: WithoutFeature });
    expect(error['message']).toContain('baton:ingest:audit');
  });

  it.each(['before', 'after'] as const)('may be asked for %s a root that takes its time', async (order) => {
    const sink = await startSink();
    const useFactory = () => new Promise<IngestOptions>((resolve) => setImmediate(resolve, optionsOf(sink.url)));
    const root = IngestModule.forRootAsync({ useFactory });
    const feature = IngestModule.forFeature(['audit']);
    const module = await start(...(order === 'before' ? [feature, root] : [root, feature]));
    await serviceOf(module, 'audit').ingestSync({ id: 1 });
    expect(sink.documents(AUDIT)).toEqual([{ id: 1 }]);
  });

  it('are found also when the root is not global, which only hides its own service', async () => {
    const sink = await startSink();

    @Injectable()
    class Consumer {
      constructor(@InjectIngest('audit') readonly audit: IngestService) {}
    }
    @Module({ imports: [IngestModule.forFeature(['audit'])], providers: [Consumer] })
    class FeatureModule {}
    @Injectable()
    class Nosy {
      constructor(@Inject(IngestService) readonly logs: IngestService) {}
    }
    @Module({ providers: [Nosy] })
    class NosyModule {}

    const root = IngestModule.forRoot({ ...optionsOf(sink.url), isGlobal: false });
    const module = await start(root, { module: FeatureModule });
    expect(module.get(Consumer, { strict: false }).audit).toBe(serviceOf(module, 'audit'));
    expect((await startError(root, { module: NosyModule }))['message']).toContain('IngestService');
  });

  it('belong to their root where there are several', async () => {
    const [sink, eu] = [await startSink(), await startSink()];
    const module = await start(
      IngestModule.forFeature(['audit'], 'eu'),
      IngestModule.forRoot(optionsOf(sink.url)),
      IngestModule.forRootAsync({ name: 'eu', useFactory: () => optionsOf(eu.url) }),
      IngestModule.forFeature(['audit']),
    );
    await serviceOf(module).ingestSync({ id: 'root' });
    await serviceOf(module, 'eu').ingestSync({ id: 'root of eu' });
    await serviceOf(module, 'audit').ingestSync({ id: 'audit' });
    await serviceOf(module, 'audit', 'eu').ingestSync({ id: 'audit of eu' });
    expect(serviceOf(module, 'default', 'eu')).toBe(serviceOf(module, 'eu'));
    expect([ids(sink), ids(eu)]).toEqual([['root'], ['root of eu']]);
    expect([sink.documents(AUDIT), eu.documents(AUDIT)]).toEqual([[{ id: 'audit' }], [{ id: 'audit of eu' }]]);
  });

  it('do not start when nobody knows the name, and the nearest is told', async () => {
    const root = IngestModule.forRoot(optionsOf('http://127.0.0.1:1'));
    expect(await startError(root, IngestModule.forFeature(['aduit']))).toMatchObject({
      code: 'OPTIONS_INVALID',
      problems: ['unknown index aduit; did you mean audit? (further indexes of the root default: audit, metrics)'],
    });
    expect(await startError(IngestModule.forFeature(['default']), root)).toMatchObject({
      problems: ['unknown index default (further indexes of the root default: audit, metrics)'],
    });
    const bare = IngestModule.forRoot({ url: 'http://127.0.0.1:1', index: INDEX });
    expect(await startError(bare, IngestModule.forFeature(['audit']))).toMatchObject({
      problems: ['unknown index audit (further indexes of the root default: none)'],
    });
  });

  it('do not start without a root', async () => {
    expect(await startError(IngestModule.forFeature(['audit']))).toMatchObject({
      code: 'OPTIONS_INVALID',
      problems: [expect.stringContaining('there is no IngestModule.forRoot,')],
    });
    const root = IngestModule.forRoot(optionsOf('http://127.0.0.1:1'));
    expect(await startError(root, IngestModule.forFeature(['audit'], 'eu'))).toMatchObject({
      problems: [expect.stringContaining('there is no IngestModule.forRoot with the name eu,')],
    });
  });

  it.each(['before', 'after'] as const)(
    'do not hide why their root did not start, when asked for %s it',
    async (order) => {
      const root = IngestModule.forRoot({ url: 'http://127.0.0.1:1', index: '' });
      const late = IngestModule.forRootAsync({ useFactory: () => Promise.reject(new Error('no configuration')) });
      const feature = IngestModule.forFeature(['audit']);
      const both = (one: DynamicModule) => (order === 'before' ? [feature, one] : [one, feature]);
      expect(await startError(...both(root))).toMatchObject({ problems: [expect.stringContaining('index must be')] });
      expect(await startError(...both(late))).toMatchObject({ message: 'no configuration' });
    },
  );

  it('do not start with the name of another root, whose token would be the same', async () => {
    const error = await startError(
      IngestModule.forRoot(optionsOf('http://127.0.0.1:1')),
      IngestModule.forRoot({ name: 'audit', url: 'http://127.0.0.1:1', index: INDEX }),
      IngestModule.forFeature(['audit']),
    );
    expect(error['message']).toContain('audit is the name of an index of the root default and of another forRoot');
  });

  it.each(['', 'a:b'])('belong to a root that is not called %p', async (name) => {
    const options = { ...optionsOf('http://127.0.0.1:1'), name };
    expect(await startError(IngestModule.forRoot(options))).toMatchObject({ code: 'OPTIONS_INVALID' });
  });

  it('do without each other: of a deleted one the documents wait, and the others lose nothing', async () => {
    const sink = await startSink({ indexes: [INDEX, AUDIT, 'metrics'] });
    const module = await start(
      IngestModule.forRoot(optionsOf(sink.url)),
      IngestModule.forFeature(['audit', 'metrics']),
    );
    const [logs, audit, metrics] = [serviceOf(module), serviceOf(module, 'audit'), serviceOf(module, 'metrics')];
    sink.deleteIndex(AUDIT);
    const lost = audit.ingestBatch(docs(10));
    expect(await lost.outcomes).toContainEqual(expect.objectContaining({ reason: 'server' }));
    const waiting = audit.ingestBatch(docs(100));
    await Promise.all(docs(500).flatMap((doc) => [logs.ingestSync(doc), metrics.ingestSync(doc)]));
    expect([ids(sink).length, sink.documents('metrics').length]).toEqual([500, 500]);
    expect([waiting.settled, (await audit.health()).state, (await logs.health()).state]).toEqual([false, 'down', 'up']);
    sink.createIndex(AUDIT);
    await waiting.wait();
    expect(sink.documents(AUDIT)).toEqual(docs(100));
  });

  it('are flushed and closed at once when what waited for room that another has is aborted', async () => {
    const sink = await startSink();
    sink.failWhere({ index: INDEX }, () => ({ kind: 'stall', when: 'before' }));
    const module = await start(
      IngestModule.forRoot({ ...optionsOf(sink.url), maxBufferBytes: 1_200, closeTimeout: '20s' }),
      IngestModule.forFeature(['audit']),
    );
    const [logs, audit] = [serviceOf(module), serviceOf(module, 'audit')];
    await logs.ingest({ text: 'x'.repeat(600) });
    const abort = new AbortController();
    // More than its own part, and the common one is taken.
    const receipt = audit.ingestBatch([{ text: 'x'.repeat(400) }], { signal: abort.signal });
    expect([logs.stats().bufferedDocs, audit.stats().waitingDocs]).toEqual([1, 1]);
    const flushed = audit.flush();
    const closed = audit.close();
    abort.abort();
    await flushed;
    expect(await closed).toMatchObject({ discarded: { aborted: 1 } });
    expect((await closed).durationMs).toBeLessThan(5_000);
    expect(receipt.settled).toBe(true);
    await logs.close({ timeout: 0 });
  });

  it('are closed with their root, which delivers what they have', async () => {
    const sink = await startSink();
    const module = await start(
      IngestModule.forRoot({ ...optionsOf(sink.url), maxDelay: '1h' }),
      IngestModule.forFeature(['audit']),
    );
    const audit = serviceOf(module, 'audit');
    await audit.ingest(docs(3));
    await module.close();
    expect(sink.documents(AUDIT)).toEqual(docs(3));
    expect(await audit.ingestBatch(docs(1)).outcomes).toMatchObject([{ reason: 'closed' }]);
  });
});
