import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Parameters,
  type Sample,
  type ServedSubject,
  serveSubjects,
  type SubjectStarter,
} from '../../harness/index.js';
import type { QueueSetup, QueueSubject } from '../subjects/queue-subject.js';

/** The parameters of `RemoteSubject.run`. */
export type QueueAction =
  | { readonly action: 'fill'; readonly count: number }
  | { readonly action: 'work' }
  /** `{ open, failed, endMs }` as soon as nothing is open, at the latest after `patienceMs`; then nobody works any more. */
  | { readonly action: 'drain'; readonly patienceMs: number }
  | { readonly action: 'clear' };

// Each process loads its own system only.
const graphile = () => import('../subjects/graphile.js');
const bullmq = () => import('../subjects/bullmq.js');
const pgBoss = () => import('../subjects/pg-boss.js');

serveSubjects({
  floor: async (setup) => served(await (await import('../subjects/floor.js')).startFloor(setupOf(setup))),
  ours: async (setup) => served(await (await import('../subjects/ours.js')).startOurs(setupOf(setup))),
  ...subjectsOf(graphile, (from) => from.startGraphile, {
    graphileBatched: 'GRAPHILE_BATCHED',
    graphileDefaults: 'GRAPHILE_DEFAULTS',
  }),
  ...subjectsOf(bullmq, (from) => from.startBullmq, {
    bullAlways: 'BULL_ALWAYS',
    bullEverysec: 'BULL_EVERYSEC',
    bullDefaults: 'BULL_DEFAULTS',
    bullPostgres: 'BULL_POSTGRES',
    bullPostgresDefaults: 'BULL_POSTGRES_DEFAULTS',
  }),
  ...subjectsOf(pgBoss, (from) => from.startPgBoss, { bossBatched: 'BOSS_BATCHED', bossDefaults: 'BOSS_DEFAULTS' }),
});

/** By the names of their settings, which stand beside each system with where they are documented. */
function subjectsOf<Module, Setting extends keyof Module>(
  load: () => Promise<Module>,
  starter: (module: Module) => (setup: QueueSetup, settings: Module[Setting]) => Promise<QueueSubject>,
  settings: Readonly<Record<string, Setting>>,
): Record<string, SubjectStarter> {
  const entries = Object.entries(settings).map(([id, setting]): [string, SubjectStarter] => [
    id,
    async (setup) => {
      const module = await load();
      return served(await starter(module)(setupOf(setup), module[setting]));
    },
  ]);
  return Object.fromEntries(entries);
}

function setupOf(setup: Parameters): QueueSetup {
  return setup as unknown as QueueSetup;
}

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
