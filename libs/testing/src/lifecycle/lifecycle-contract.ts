import assert from 'node:assert/strict';
import { CASES, type CaseOfContract } from './lifecycle-cases.js';
import { Leftovers } from './leftovers.js';
import { type LifecycleAbility, type LifecycleSubject, missingMembers } from './lifecycle-subject.js';
import { LifecycleTrial, type LifecycleTraits } from './lifecycle-trial.js';
import { ResourceWatch } from './resource-watch.js';

export interface LifecycleCase {
  /** A sentence that follows the name of the subject. */
  readonly title: string;
  readonly run: () => Promise<void>;
}

export interface LifecycleContractOptions extends LifecycleTraits {
  /** What the subjects can be asked for beyond `start()` and `stop()`. Default: nothing. */
  readonly asks?: readonly LifecycleAbility[];
}

/**
 * The lifecycle that everything of Baton keeps, as cases for any test runner:
 *
 *     it.each(lifecycleContract(() => subject(), { asks: ['notify', 'runOnce', 'work', 'hold', 'fail'] }))('$title', ({ run }) => run());
 *
 * - Each case makes a subject of its own. After each it is stopped once more, and then no timer, socket, server, child or listener on `process`
 *   may be there that was not there before, and what `open()` counts is back where it was.
 * - `start()` is idempotent, and a no-op after `stop()`, also when that came while it ran.
 * - `stop()` is safe before `start()`, twice and during a pass, and returns when nothing runs any more.
 * - `notify()` during a pass is not lost, and does nothing before `start()` and after `stop()`.
 * - `runOnce()` resolves after a pass that began after the call, throws what that throws, and does nothing after `stop()`.
 *
 * Assertions are `node:assert`'s. Real time passes: about a second for all cases.
 */
export function lifecycleContract(
  create: () => LifecycleSubject | Promise<LifecycleSubject>,
  options: LifecycleContractOptions = {},
): readonly LifecycleCase[] {
  const asks = options.asks ?? [];
  return CASES.filter(({ needs }) => needs.every((ability) => asks.includes(ability))).map((one) => ({
    title: one.title,
    run: async () => {
      const subject = await create();
      try {
        assert.deepEqual(missingMembers(subject, asks), [], 'asked for, but the subject does not have');
        await runCase(one, subject, options);
      } finally {
        await subject.dispose?.();
      }
    },
  }));
}

async function runCase(one: CaseOfContract, subject: LifecycleSubject, traits: LifecycleTraits): Promise<void> {
  const before = (await subject.open?.()) ?? {};
  const watch = new ResourceWatch();
  const trial = new LifecycleTrial(subject, traits, new Leftovers(subject, before, watch, traits.ignores));
  try {
    await one.check(trial);
    subject.gate?.open();
    await trial.stop();
    await trial.isClean();
  } finally {
    watch.end();
    subject.gate?.open();
    await trial.stop();
  }
}
