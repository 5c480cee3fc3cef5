import assert from 'node:assert/strict';
import type { LifecycleAbility } from './lifecycle-subject.js';
import { turns } from './leftovers.js';
import { type LifecycleTrial, quiet } from './lifecycle-trial.js';

export interface CaseOfContract {
  readonly title: string;
  readonly needs: readonly LifecycleAbility[];
  /** What is to be stopped and left clean afterwards is checked for every case. */
  readonly check: (trial: LifecycleTrial) => Promise<void>;
}

/** Turns of the event loop between `start()` and `stop()`, to come between its steps. */
const TURNS_BEFORE_STOP = [0, 1, 2, 5, 20, 100];

const STARTING: readonly CaseOfContract[] = [
  {
    title: 'start() and stop() leave nothing behind',
    needs: [],
    check: async (trial) => {
      await trial.start();
      await trial.stop();
    },
  },
  {
    // How much is open meanwhile is not compared: pools grow at their own time. What was opened twice and is closed once stays behind.
    title: 'start() twice, at once and later, is all stopped by one stop()',
    needs: [],
    check: async (trial) => {
      await Promise.all([trial.start(), trial.start()]);
      await trial.start();
      await quiet();
      await trial.stop();
      await trial.isClean();
    },
  },
  {
    title: 'start() twice runs one pass at a time',
    needs: ['work', 'hold'],
    check: async (trial) => {
      trial.gate.close();
      await trial.addWork();
      await Promise.all([trial.start(), trial.start()]);
      await trial.untilHeld();
      await trial.start();
      await quiet();
      assert.equal(trial.gate.heldCount, 1, 'two passes ran at a time');
      trial.gate.open();
    },
  },
  {
    title: 'does the work that is there when it starts, and none before',
    needs: ['work'],
    check: async (trial) => {
      await trial.nothingHappens('before start()');
      await trial.start();
      await trial.untilDone(1);
    },
  },
];

const STOPPING: readonly CaseOfContract[] = [
  {
    title: 'stop() before start() returns, and makes start() a no-op',
    needs: [],
    check: async (trial) => {
      await trial.stop();
      await trial.nothingHappens('started after stop()', () => trial.startStopped());
      await trial.isClean();
    },
  },
  {
    title: 'stop() twice, at once and later, returns each time',
    needs: [],
    check: async (trial) => {
      await trial.start();
      await Promise.all([trial.stop(), trial.stop()]);
      await trial.stop();
    },
  },
  {
    title: 'start() after stop() is a no-op',
    needs: [],
    check: async (trial) => {
      await trial.start();
      await trial.stop();
      await trial.nothingHappens('started after stop()', () => trial.startStopped());
      await trial.isClean();
    },
  },
  ...TURNS_BEFORE_STOP.map((count) => ({
    title: `stop() ${count} turns after start(), which may still run, wins`,
    needs: [],
    check: async (trial: LifecycleTrial) => {
      const starting = trial.startStopped();
      await turns(count);
      await Promise.all([trial.stop(), starting]);
      await trial.nothingHappens('stopped while it started');
      await trial.isClean();
    },
  })),
  {
    title: 'stop() while a pass runs returns only when nothing runs any more, the second time too',
    needs: ['work', 'hold'],
    check: async (trial) => {
      trial.gate.close();
      await trial.addWork();
      await trial.start();
      await trial.untilHeld();
      const stops = [trial.stop(), trial.stop()];
      await Promise.all(stops.map((stop) => trial.staysPending('stop() while a pass runs', stop)));
      trial.gate.open();
      await Promise.all(stops);
      assert.equal(trial.gate.heldCount, 0);
      await trial.nothingHappens('after stop()');
    },
  },
];

const NOTIFYING: readonly CaseOfContract[] = [
  {
    title: 'notify() before start() and after stop() does nothing and does not throw',
    needs: ['notify'],
    check: async (trial) => {
      trial.notify();
      await trial.nothingHappens('notified before start()');
      await trial.start();
      await trial.stop();
      await trial.nothingHappens('notified after stop()');
    },
  },
  {
    title: 'notify() makes a pass of it',
    needs: ['notify', 'work'],
    check: async (trial) => {
      await trial.start();
      await trial.addWork();
      trial.notify();
      await trial.untilDone(1);
    },
  },
  {
    title: 'notify() during a pass is not lost',
    needs: ['notify', 'work', 'hold'],
    check: async (trial) => {
      trial.gate.close();
      await trial.addWork();
      await trial.start();
      await trial.untilHeld();
      await trial.addWork();
      for (let i = 0; i < 3; i++) trial.notify();
      trial.gate.open();
      await trial.untilDone(2);
    },
  },
  {
    title: 'a pass that throws does not end it',
    needs: ['notify', 'work', 'fail'],
    check: async (trial) => {
      trial.subject.failNextPass?.();
      await trial.start();
      await quiet();
      await trial.addWork();
      trial.notify();
      await trial.untilDone(1);
    },
  },
];

const RUNNING_ONCE: readonly CaseOfContract[] = [
  {
    title: 'runOnce() sees the work that was there before the call',
    needs: ['runOnce', 'work'],
    check: async (trial) => {
      await trial.start();
      await trial.runOnce();
      await trial.addWork();
      await trial.runOnce();
      await trial.untilDone(1);
    },
  },
  {
    title: 'runOnce() during a pass waits for one that began after the call',
    needs: ['runOnce', 'work', 'hold'],
    check: async (trial) => {
      trial.gate.close();
      await trial.addWork();
      await trial.start();
      await trial.untilHeld();
      await trial.addWork();
      const once = trial.runOnce();
      await trial.staysPending('runOnce() while a pass runs', once);
      trial.gate.open();
      await once;
      await trial.untilDone(2);
    },
  },
  {
    title: 'runOnce() after stop() resolves and runs nothing',
    needs: ['runOnce'],
    check: async (trial) => {
      await trial.start();
      await trial.stop();
      const before = await trial.workDone();
      await trial.addWork();
      await trial.runOnce();
      assert.equal(await trial.workDone(), before, 'runOnce() after stop() did work');
    },
  },
  {
    title: 'stop() lets those go who wait in runOnce()',
    needs: ['runOnce', 'work', 'hold'],
    check: async (trial) => {
      trial.gate.close();
      await trial.addWork();
      await trial.start();
      await trial.untilHeld();
      const once = trial.runOnce();
      const stopping = trial.stop();
      trial.gate.open();
      await Promise.all([once, stopping]);
    },
  },
  {
    title: 'runOnce() throws what its pass throws, and the next one is as good as new',
    needs: ['runOnce', 'work', 'fail'],
    check: async (trial) => {
      await trial.start();
      await trial.runOnce();
      trial.subject.failNextPass?.();
      await assert.rejects(trial.runOnce(), 'runOnce() should throw what its pass throws');
      await trial.addWork();
      await trial.runOnce();
      await trial.untilDone(1);
    },
  },
];

export const CASES: readonly CaseOfContract[] = [...STARTING, ...STOPPING, ...NOTIFYING, ...RUNNING_ONCE];
