import { IngestModule, IngestService, resolveIngestOptions } from '@nest-baton/ingest';
import { FakeQuickwit, freePort, lifecycleContract } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';

let sink: FakeQuickwit;

/** undici has one timer for all its timeouts, and Node's HTTP servers one for the date; both end by themselves within a second. */
const SHARED = { ignores: /undici\/lib\/util\/timers|testing\/src\/http/ };
const MODULE = { startAfterStop: 'refused', ...SHARED } as const;

beforeAll(async () => {
  Logger.overrideLogger(false);
  sink = await FakeQuickwit.start();
});
afterAll(() => sink.stop());

const optionsFor = (url: string) => ({ url, index: 'app-logs', closeTimeout: '100ms', maxDelay: '20ms' }) as const;

describe('IngestService, which begins with its first document:', () => {
  const service = () => {
    const one = new IngestService(resolveIngestOptions(optionsFor(sink.url)));
    return { start: () => one.ingest({ id: 1 }), stop: () => one.close() };
  };
  it.each(lifecycleContract(service, SHARED))('$title', ({ run }) => run());
});

describe('IngestService whose server is gone:', () => {
  let url: string;
  beforeAll(async () => void (url = `http://127.0.0.1:${await freePort()}`));
  const service = () => {
    const one = new IngestService(resolveIngestOptions(optionsFor(url)));
    return { start: () => one.ingest({ id: 1 }), stop: () => one.close() };
  };
  it.each(lifecycleContract(service, SHARED))('$title', ({ run }) => run());
});

describe('an application with IngestModule:', () => {
  const application = async () => {
    const app = await Test.createTestingModule({ imports: [IngestModule.forRoot(optionsFor(sink.url))] }).compile();
    return { start: () => app.init(), stop: () => app.close() };
  };
  it.each(lifecycleContract(application, MODULE))('$title', ({ run }) => run());
});

describe('an application with IngestModule that is closed while documents are on their way:', () => {
  const busy = async () => {
    const app = await Test.createTestingModule({ imports: [IngestModule.forRoot(optionsFor(sink.url))] }).compile();
    const receipts: Promise<readonly unknown[]>[] = [];
    return {
      start: async () => {
        await app.init();
        for (let i = 0; i < 50; i++)
          receipts.push(app.get(IngestService).ingestBatch([{ id: i }, { id: -i }]).outcomes);
      },
      stop: async () => {
        await app.close();
        for (const outcomes of await Promise.all(receipts)) expect(outcomes).toHaveLength(2);
      },
    };
  };
  it.each(lifecycleContract(busy, MODULE))('$title', ({ run }) => run());
});
