import { setTimeout as sleep } from 'node:timers/promises';
import { type Sample, type ServedSubject, serveSubjects } from '../../harness/index.js';
import {
  BULL_ALWAYS,
  BULL_DEFAULTS,
  BULL_EVERYSEC,
  BULL_POSTGRES,
  BULL_POSTGRES_DEFAULTS,
  startBullmq,
} from '../subjects/bullmq.js';
import { startFloor } from '../subjects/floor.js';
import { GRAPHILE_BATCHED, GRAPHILE_DEFAULTS, startGraphile } from '../subjects/graphile.js';
import { startOurs } from '../subjects/ours.js';
import { BOSS_BATCHED, BOSS_DEFAULTS, startPgBoss } from '../subjects/pg-boss.js';
import type { QueueSetup, QueueSubject } from '../subjects/queue-subject.js';

/** The parameters of `RemoteSubject.run`. */
export type QueueAction =
  | { readonly action: 'fill'; readonly count: number }
  | { readonly action: 'work' }
  /** `{ open, failed, endMs }` as soon as nothing is open, at the latest after `patienceMs`; then nobody works any more. */
  | { readonly action: 'drain'; readonly patienceMs: number }
  | { readonly action: 'clear' };

const serve =
  <Settings>(start: (setup: QueueSetup, settings: Settings) => Promise<QueueSubject>, settings: Settings) =>
  async (setup: object): Promise<ServedSubject> =>
    served(await start(setup as QueueSetup, settings));

serveSubjects({
  floor: serve(startFloor, undefined),
  ours: serve(startOurs, undefined),
  graphileBatched: serve(startGraphile, GRAPHILE_BATCHED),
  graphileDefaults: serve(startGraphile, GRAPHILE_DEFAULTS),
  bullAlways: serve(startBullmq, BULL_ALWAYS),
  bullEverysec: serve(startBullmq, BULL_EVERYSEC),
  bullDefaults: serve(startBullmq, BULL_DEFAULTS),
  bullPostgres: serve(startBullmq, BULL_POSTGRES),
  bullPostgresDefaults: serve(startBullmq, BULL_POSTGRES_DEFAULTS),
  bossBatched: serve(startPgBoss, BOSS_BATCHED),
  bossDefaults: serve(startPgBoss, BOSS_DEFAULTS),
});

function served(subject: QueueSubject): ServedSubject {
  return {
    run: async (parameters): Promise<Sample> => {
      const action = parameters as unknown as QueueAction;
      switch (action.action) {
        case 'fill':
          await subject.fill(action.count);
          return { ...(await subject.counts()) };
        case 'work':
          await subject.startWork();
          return {};
        case 'drain':
          return drain(subject, action.patienceMs);
        case 'clear':
          await subject.clear();
          return {};
      }
    },
    stop: () => subject.stop(),
  };
}

async function drain(subject: QueueSubject, patienceMs: number): Promise<Sample> {
  const until = nowMs() + patienceMs;
  let { open } = await subject.counts();
  while (open > 0 && nowMs() < until) {
    await sleep(5);
    ({ open } = await subject.counts());
  }
  const endMs = nowMs();
  await subject.stopWork();
  return { ...(await subject.counts()), endMs };
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
