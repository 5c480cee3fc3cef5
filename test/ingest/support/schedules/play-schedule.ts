import { seededRandom } from '@nest-baton/testing';
import { checkOutcomes } from './outcomes.js';
import { type Schedule, scheduleOf } from './schedule.js';
import { ScheduleRun } from './schedule-run.js';

/** More tries would find a smaller schedule, and cost minutes. */
const MOST_SHRINKS = 600;

/** What should not be, in one run. */
export async function violationsOf(schedule: Schedule, seed: number): Promise<readonly string[]> {
  const run = new ScheduleRun(schedule, seededRandom(seed));
  await run.play();
  await checkOutcomes(run);
  return run.violations;
}

/** @throws Error with the violations, and the smallest schedule that still shows one. */
export async function playSchedule(seed: number): Promise<void> {
  const schedule = scheduleOf(seededRandom(seed));
  const found = await violationsOf(schedule, seed);
  if (found.length === 0) return;
  const smallest = await shrink(schedule, async (smaller) => (await violationsOf(smaller, seed)).length > 0);
  const left = await violationsOf(smallest, seed);
  throw new Error(
    [
      `seed ${seed} breaks a promise:`,
      ...found.slice(0, 5),
      'The smallest schedule that does:',
      ...left.slice(0, 5),
      JSON.stringify(smallest),
    ].join('\n'),
  );
}

/** Takes away action after action, document after document, fault after fault, as long as it still fails. */
export async function shrink(schedule: Schedule, fails: (smaller: Schedule) => Promise<boolean>): Promise<Schedule> {
  let best = schedule;
  let tries = 0;
  for (let isSmaller = true; isSmaller && tries < MOST_SHRINKS;) {
    isSmaller = false;
    for (const smaller of smallerThan(best)) {
      if (++tries > MOST_SHRINKS) break;
      if (!(await fails(smaller))) continue;
      best = smaller;
      isSmaller = true;
      break;
    }
  }
  return best;
}

function* smallerThan(schedule: Schedule): Generator<Schedule> {
  const { actions, server, hooks, authMs } = schedule;
  const half = actions.length >> 1;
  if (half > 0) {
    yield { ...schedule, actions: actions.slice(0, half) };
    yield { ...schedule, actions: actions.slice(half) };
  }
  for (let i = actions.length - 1; i >= 0; i--) yield { ...schedule, actions: actions.filter((_, at) => at !== i) };
  if (hooks !== 'quiet') yield { ...schedule, hooks: 'quiet' };
  if (authMs >= 0) yield { ...schedule, authMs: -1 };
  for (const [i, fault] of server.faults.entries())
    if (fault !== null) yield { ...schedule, server: { ...server, faults: server.faults.with(i, null) } };
  for (const [i, action] of actions.entries())
    if ('docs' in action && action.docs.length > 1)
      yield { ...schedule, actions: actions.with(i, { ...action, docs: action.docs.slice(0, -1) }) };
}
