import { soakPlan, withSeed } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { playSchedule } from '../ingest/support/schedules/play-schedule.js';

/** Whatever the time. */
const FEWEST = 10_000;

Logger.overrideLogger(false);

describe('the ingest module in virtual time', () => {
  const { seed, durationMs } = soakPlan();

  it(
    `keeps every promise over at least ${FEWEST} random schedules (SLOW_SEED=${seed} SLOW_SECONDS=${durationMs / 1000})`,
    async () => {
      const endsAt = performance.now() + durationMs;
      let played = 0;
      for (; played < FEWEST || performance.now() < endsAt; played++) {
        const one = (seed + played) >>> 0;
        await withSeed(one, () => playSchedule(one));
      }
      expect(played).toBeGreaterThanOrEqual(FEWEST);
    },
    durationMs + 300_000,
  );
});
