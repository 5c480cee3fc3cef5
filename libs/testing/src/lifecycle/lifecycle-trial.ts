import assert from 'node:assert/strict';
import { describeError } from '@nest-baton/core';
import { waitFor } from '../waiting/wait-for.js';
import type { Gate } from '../waiting/gate.js';
import type { Leftovers } from './leftovers.js';
import type { LifecycleSubject } from './lifecycle-subject.js';

/** How long something that must not happen is given to happen. */
const QUIET_MS = 60;
/** Nothing of a lifecycle takes longer; shutdowns of ours are bounded by less. */
const CALL_WITHIN_MS = 20_000;
const WORK_WITHIN_MS = 10_000;
const CLEAN_WITHIN_MS = 2_000;

export interface LifecycleTraits {
  /** What `start()` may do after `stop()`: nothing, or also reject, because what it needs is closed for good. Default: nothing. */
  readonly startAfterStop?: 'ignored' | 'refused';
  /** Milliseconds until work that was to be done must have been. Default 10000. */
  readonly patienceMs?: number;
  /** Milliseconds after `stop()` until nothing may be left open: a timer that is longer than this is a leak. Default 2000. */
  readonly cleanWithinMs?: number;
  /** What a library keeps for the whole process and ends by itself, by the place that opened it: `/undici.*timers/`. Nothing else belongs here. */
  readonly ignores?: RegExp;
}

/** One subject in the hands of one case: its calls bounded in time, and the questions that cases ask of it. */
export class LifecycleTrial {
  constructor(
    readonly subject: LifecycleSubject,
    private readonly traits: LifecycleTraits,
    private readonly leftovers: Leftovers,
  ) {}

  private get patienceMs(): number {
    return this.traits.patienceMs ?? WORK_WITHIN_MS;
  }

  get gate(): Gate {
    assert(this.subject.gate !== undefined, 'the subject has no gate');
    return this.subject.gate;
  }

  start(): Promise<void> {
    return inTime('start()', async () => void (await this.subject.start()));
  }

  /** It was stopped before, or is being stopped. */
  async startStopped(): Promise<void> {
    try {
      await this.start();
    } catch (error) {
      if (this.traits.startAfterStop === 'refused') return;
      assert.fail(`start() after stop() should do nothing, but rejected: ${describeError(error)}`);
    }
  }

  stop(): Promise<void> {
    return inTime('stop()', async () => void (await this.subject.stop()));
  }

  runOnce(): Promise<void> {
    return inTime('runOnce()', async () => void (await this.subject.runOnce?.()));
  }

  notify(): void {
    this.subject.notify?.();
  }

  async addWork(): Promise<void> {
    await this.subject.addWork?.();
  }

  async workDone(): Promise<number> {
    return (await this.subject.workDone?.()) ?? 0;
  }

  async untilDone(count: number): Promise<void> {
    await waitFor(async () => (await this.workDone()) >= count, {
      timeoutMs: this.patienceMs,
      description: `${count} pieces of work were done`,
    });
  }

  async untilHeld(): Promise<void> {
    const description = 'a pass came to the gate';
    await waitFor(() => this.gate.heldCount > 0, { timeoutMs: this.patienceMs, description });
  }

  /** Nothing is done although there is something to do, it is notified, and `attempt` is made at it. */
  async nothingHappens(why: string, attempt?: () => Promise<void>): Promise<void> {
    const before = await this.workDone();
    await this.addWork();
    await attempt?.();
    this.notify();
    await quiet();
    assert.equal(await this.workDone(), before, `${why}: work was done all the same`);
  }

  isClean(): Promise<void> {
    return this.leftovers.areGoneWithin(this.traits.cleanWithinMs ?? CLEAN_WITHIN_MS);
  }

  async staysPending(what: string, promise: Promise<unknown>): Promise<void> {
    const settled = promise.then(
      () => true,
      () => true,
    );
    const isSettled = await Promise.race([settled, quiet().then(() => false)]);
    assert.equal(isSettled, false, `${what} should wait`);
  }
}

export function quiet(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, QUIET_MS));
}

async function inTime(what: string, call: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `${what} did not return` })), CALL_WITHIN_MS);
  });
  try {
    await Promise.race([call(), late]);
  } finally {
    clearTimeout(timer);
  }
}
