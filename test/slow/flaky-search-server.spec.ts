import type { Random } from '@nest-baton/core';
import { type IngestFault, assertConservation, FakeQuickwit, randomBetween } from '@nest-baton/testing';
import { type DocumentOutcome, IngestService, resolveIngestOptions } from '@nest-baton/ingest';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { inParallel, soak } from './support/soak.js';

const INDEX = 'soak';
const CALLERS = 8;

Logger.overrideLogger(false);

let sink: FakeQuickwit;
beforeEach(
  async () => void (sink = await FakeQuickwit.start({ validate: ({ bad }) => (bad === true ? 'bad' : undefined) })),
);
afterEach(() => sink.stop());

describe('a search server that fails in every way', () => {
  soak(
    'gets each document that it is said to have, and no other; every possible duplicate is flagged',
    async (soaking) => {
      const faults = soaking.randomOf(-1);
      sink.fail(() => faultOf(faults));
      const retry = { base: 5, factor: 1.5, cap: 50 };
      const service = new IngestService<{ id: string; bad?: true }>(
        resolveIngestOptions({
          ...{ url: sink.url, index: INDEX, retry, requestTimeout: '300ms' },
          ...{ maxBatchDocs: 40, maxDelay: '20ms', maxBufferDocs: 400 },
        }),
      );
      const verdicts = new Map<string, DocumentOutcome>();
      await inParallel(soaking, CALLERS, async (caller, random, call) => {
        const docs = Array.from({ length: randomBetween(random, 1, 60) }, (_, i) => ({
          id: `${caller}:${call}:${i}`,
          ...(random() < 0.02 && { bad: true as const }),
        }));
        const signal = random() < 0.05 ? AbortSignal.timeout(randomBetween(random, 1, 40)) : undefined;
        const outcomes = await service.ingestBatch(docs, { ...(signal && { signal }) }).outcomes;
        outcomes.forEach((outcome, i) => verdicts.set(docs[i]!.id, outcome));
        if (random() < 0.2) await sleep(randomBetween(random, 0, 10));
      });
      sink.clearFaults();
      await service.close();

      const idsOf = (status: DocumentOutcome['status']) =>
        [...verdicts].filter(([, outcome]) => outcome.status === status).map(([id]) => id);
      const flagged = [...verdicts].filter(([, outcome]) => outcome.status !== 'discarded' && isFlagged(outcome));
      const { ended } = assertConservation({
        what: 'documents',
        admitted: verdicts.keys(),
        ended: { accepted: idsOf('accepted'), discarded: idsOf('discarded'), unknown: idsOf('unknown') },
        effects: {
          stored: {
            seen: sink.documents(INDEX).map(({ id }) => id as string),
            requiredFor: ['accepted'],
            forbiddenFor: ['discarded'],
            mayRepeat: flagged.map(([id]) => id),
          },
        },
      });
      expect(ended['accepted']).toBeGreaterThan(0);
      expect(ended['discarded']).toBeGreaterThan(0);
    },
  );
});

/** Half of the requests meet something. */
function faultOf(random: Random): IngestFault | undefined {
  const when = random() < 0.5 ? 'before' : 'after';
  const chance = random();
  if (chance < 0.1) return { kind: 'reset', when };
  if (chance < 0.15) return { kind: 'stall', when };
  if (chance < 0.25) return { kind: 'truncate' };
  if (chance < 0.35) return { kind: 'status', status: random() < 0.5 ? 429 : 503 };
  if (chance < 0.4) return { kind: 'status', status: 500 };
  if (chance < 0.5) return { kind: 'slow', delayMs: randomBetween(random, 1, 200) };
  return undefined;
}

function isFlagged(outcome: DocumentOutcome): boolean {
  return outcome.status === 'unknown' || (outcome.status === 'accepted' && outcome.maybeDuplicate);
}
