import { Logger } from '@nestjs/common';
import { waitFor, withSeed } from '@nest-baton/testing';
import { ids, startIngest, startSink, stopAll } from './support/bench.js';
import { playSchedule } from './support/schedules/play-schedule.js';

/** Four seconds' worth; `test/slow/schedules-of-ingest.spec.ts` plays ten thousand and more. */
const SCHEDULES = 1_500;

Logger.overrideLogger(false);

describe('schedules in virtual time', () => {
  afterEach(stopAll);

  it(`keep every promise: ${SCHEDULES} random ones of calls, aborts, faults and closes`, async () => {
    for (let seed = 1; seed <= SCHEDULES; seed++) await withSeed(seed, () => playSchedule(seed));
  }, 120_000);

  it('found: a document that filled the buffer leaves by its age when another lane made room before it was looked at', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { commit: 'wait_for', maxBufferDocs: 2, maxDelay: 50 });
    const abort = new AbortController();
    const receipt = service.ingestBatch([{ id: 1 }], { signal: abort.signal });
    await service.ingest({ id: 2 });
    abort.abort();
    expect(await receipt.outcomes).toMatchObject([{ reason: 'aborted' }]);
    await waitFor(() => ids(sink).length === 1, { description: 'the other document arrived' });
    expect(ids(sink)).toEqual([2]);
  });
});
