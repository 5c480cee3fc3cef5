import { getIngestToken, InjectIngest, IngestModule, IngestService } from '@nest-baton/ingest';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ids, INDEX, startSink, stopAll } from './support/bench.js';

describe('in a Nest application', () => {
  afterEach(stopAll);

  it('injects by class and by name, everywhere, and delivers what it has on shutdown', async () => {
    const sink = await startSink();

    @Injectable()
    class Consumer {
      constructor(
        @Inject(IngestService) readonly logs: IngestService,
        @InjectIngest('audit') readonly audit: IngestService,
      ) {}
    }
    @Module({ providers: [Consumer] })
    class FeatureModule {}

    const module = await Test.createTestingModule({
      imports: [
        IngestModule.forRoot({ url: sink.url, index: INDEX, maxDelay: '1h' }),
        IngestModule.forRootAsync({
          name: 'audit',
          useFactory: () => ({ url: sink.url, index: 'audit-logs', maxDelay: '1h' }),
        }),
        FeatureModule,
      ],
    }).compile();
    await module.init();
    const { logs, audit } = module.get(Consumer, { strict: false });
    expect(module.get(getIngestToken(), { strict: false })).toBe(logs);
    await logs.ingest({ id: 1 });
    await audit.ingest({ id: 2 });
    await module.close();
    expect(ids(sink)).toEqual([1]);
    expect(sink.documents('audit-logs')).toEqual([{ id: 2 }]);
    expect(await logs.ingestBatch([{ id: 3 }]).outcomes).toMatchObject([{ reason: 'closed' }]);
  });

  it('admits what other modules hand in during their own beforeApplicationShutdown', async () => {
    const sink = await startSink();

    @Injectable()
    class LastWords {
      constructor(@Inject(IngestService) private readonly logs: IngestService) {}
      async beforeApplicationShutdown(): Promise<void> {
        await this.logs.ingest({ id: 'last words' });
      }
    }
    const module = await Test.createTestingModule({
      imports: [IngestModule.forRoot({ url: sink.url, index: INDEX, maxDelay: '1h' })],
      providers: [LastWords],
    }).compile();
    await module.init();
    await module.close();
    expect(ids(sink)).toEqual(['last words']);
  });

  it('does not start with wrong options, and names them', async () => {
    const module = Test.createTestingModule({
      imports: [IngestModule.forRoot({ url: 'ftp://x', index: '1', maxDelai: 1 } as never)],
    });
    await expect(module.compile()).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});
