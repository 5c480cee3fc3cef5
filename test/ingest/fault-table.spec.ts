import type { IngestOptions, IngestService } from '@nest-baton/ingest';
import { type FakeQuickwit, type IngestFault, type IngestRequest, waitFor } from '@nest-baton/testing';
import { docs, startIngest, startSink, stopAll } from './support/bench.js';
import { Verdicts } from './support/verdicts.js';

/** The faults under which the clients of Elasticsearch, InfluxDB and OpenTelemetry lose or double documents by the thousand. */
const DOCUMENTS = 20_000;
const BURST = 200_000;
/** What one call of a caller with receipts holds. */
const PER_CALL = 100;

type Fault = (request: IngestRequest, nth: number) => IngestFault | undefined;

const every =
  (n: number, fault: IngestFault): Fault =>
  (_request, nth) =>
    nth % n === 0 ? fault : undefined;

let answered = new Set<number>();

/** Every tenth document is answered 429 the first time that it comes. */
function refusedOnce(id: number): number | undefined {
  if (id % 10 !== 0 || answered.has(id)) return undefined;
  answered.add(id);
  return 429;
}

const TABLE: readonly [string, Fault, Partial<IngestOptions>][] = [
  ['every 2nd request is answered 429', every(2, { kind: 'status', status: 429 }), {}],
  ['every 2nd request is answered 503', every(2, { kind: 'status', status: 503 }), {}],
  ['every 5th request is processed and its connection reset', every(5, { kind: 'reset', when: 'after' }), {}],
  [
    '10 % of the items of a bulk are answered 429',
    () => ({ kind: 'items', verdict: ({ value }) => refusedOnce(Number(value?.['id'])) }),
    { protocol: 'bulk' },
  ],
];

async function setUp(options: Partial<IngestOptions>) {
  answered = new Set();
  const sink = await startSink();
  const verdicts = new Verdicts();
  const service: IngestService<{ readonly id: number }> = startIngest(sink.url, { ...options, hooks: verdicts.hooks });
  verdicts.watch(service);
  return { sink, verdicts, service };
}

describe('the table of faults', () => {
  afterEach(stopAll);

  it.each(TABLE)(
    'with receipts: nothing is lost or open, every duplicate is flagged, when %s',
    async (_what, fault, options) => {
      const { sink, verdicts, service } = await setUp({ maxBatchDocs: 500, ...options });
      sink.fail(fault);
      for (let from = 0; from < DOCUMENTS; from += PER_CALL) {
        const call = docs(PER_CALL, from);
        await verdicts.track(call, service.ingestBatch(call)).admitted;
      }
      await service.flush();
      expect(verdicts.unsettled).toBe(0);
      const { ended, repetitions } = await verdicts.check(sink);
      expect(ended).toEqual({ accepted: DOCUMENTS, discarded: 0, unknown: 0 });
      // Where an answer can get lost there are duplicates, so that flags are seen to be needed; nowhere else.
      expect(repetitions.length > 0).toBe(verdicts.maybeDuplicates > 0);
      expect(repetitions.every(({ isFlagged }) => isFlagged)).toBe(true);
      expect(service.stats()).toMatchObject({ accepted: DOCUMENTS, bufferedDocs: 0, waitingDocs: 0, unknown: 0 });
      // Items are sent again alone, never the batch around them.
      const sent = sink.requests.reduce((sum, { documents }) => sum + documents.length, 0);
      if (options.protocol === 'bulk') expect(sent).toBe(DOCUMENTS * 1.1);
    },
  );

  it.each(TABLE)(
    'fire and forget: nothing is lost, nothing goes unreported, when %s',
    async (_what, fault, options) => {
      const { sink, verdicts, service } = await setUp({ maxBatchDocs: 500, ...options });
      sink.fail(fault);
      for (let from = 0; from < DOCUMENTS; from += PER_CALL) {
        const call = docs(PER_CALL, from);
        verdicts.forget(call);
        await service.ingest(call);
      }
      expect(await service.close({ timeout: '20s' })).toMatchObject({ discarded: {}, unknown: 0 });
      expect((await verdicts.check(sink)).ended).toEqual({ accepted: DOCUMENTS, discarded: 0, unknown: 0 });
      expect(verdicts.told).toEqual({ discarded: [], undelivered: [] });
      expect(verdicts.repeatedIn(sink)).toBeLessThanOrEqual(verdicts.maybeDuplicates);
    },
  );

  it.each(TABLE.filter(([, , { protocol }]) => protocol !== 'bulk'))(
    'a close in the middle of it settles everything, and says what it does not know, when %s',
    async (_what, fault, options) => {
      const { sink, verdicts, service } = await setUp({ maxBatchDocs: 50, maxDelay: 5, ...options });
      sink.fail((request, nth) => fault(request, nth) ?? { kind: 'slow', delayMs: 5 });
      const plain = docs(4_000);
      const tracked = docs(4_000, 4_000);
      verdicts.forget(plain);
      void service.ingest(plain);
      verdicts.track(tracked, service.ingestBatch(tracked));
      const report = await service.close({ timeout: 100 });
      expect(verdicts.unsettled).toBe(0);
      await sinkIsQuiet(sink);
      const { ended } = await verdicts.check(sink);
      expect(report.accepted).toBe(ended['accepted']);
      expect(report.unknown).toBe(ended['unknown']);
      expect(ended['discarded']).toBeGreaterThan(0);
    },
  );
});

describe('a burst of 200 000 documents, and then a close', () => {
  afterEach(stopAll);

  it('is delivered in full before the close resolves: fire and forget', async () => {
    const { sink, verdicts, service } = await setUp({ maxBufferDocs: BURST, maxBatchDocs: 5_000 });
    const burst = docs(BURST);
    verdicts.forget(burst);
    for (const doc of burst) void service.ingest(doc);
    expect(await service.close({ timeout: '60s' })).toMatchObject({ accepted: BURST, discarded: {}, unknown: 0 });
    expect((await verdicts.check(sink)).seen).toEqual({ stored: BURST });
  }, 60_000);

  it('is delivered in full before the close resolves: with receipts', async () => {
    const { sink, verdicts, service } = await setUp({ maxBufferDocs: BURST, maxBatchDocs: 5_000 });
    for (let from = 0; from < BURST; from += PER_CALL) {
      const call = docs(PER_CALL, from);
      verdicts.track(call, service.ingestBatch(call));
    }
    expect(await service.close({ timeout: '60s' })).toMatchObject({ discarded: {}, unknown: 0 });
    expect(verdicts.unsettled).toBe(0);
    expect((await verdicts.check(sink)).ended).toEqual({ accepted: BURST, discarded: 0, unknown: 0 });
  }, 60_000);

  it('is refused beyond what the buffer and as much again hold, and each refusal is told', async () => {
    const { sink, verdicts, service } = await setUp({});
    const burst = docs(BURST);
    verdicts.forget(burst);
    for (const doc of burst) void service.ingest(doc);
    await service.close({ timeout: '60s' });
    const { ended } = await verdicts.check(sink);
    expect(ended).toEqual({ accepted: 20_000, discarded: BURST - 20_000, unknown: 0 });
    expect(new Set(verdicts.told.discarded.map(([, reason]) => reason))).toEqual(new Set(['buffer_full']));
  }, 60_000);
});

/** What was on its way when the client hung up has come to its end. */
async function sinkIsQuiet(sink: FakeQuickwit): Promise<void> {
  await waitFor(() => sink.openRequests === 0, { description: 'the sink has ended every request' });
}
