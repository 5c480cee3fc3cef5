import type { Gate } from '../waiting/gate.js';

/**
 * Something that runs, as the contract sees it: core's `Runnable`, or whatever can be put that way. What a subject cannot do it leaves out, and
 * the contract is told by `asks` what it may ask for.
 */
export interface LifecycleSubject {
  start(): unknown;
  stop(): unknown;
  notify?(): void;
  runOnce?(): Promise<unknown>;
  /** Makes one more thing to do, where a pass looks. */
  addWork?(): unknown;
  /** How many things have been done so far. */
  workDone?(): number | Promise<number>;
  /**
   * Open at first. Every pass calls `pass()` once: after it has looked for work and before it ends. No poll and no timer may start a pass on
   * its own while the contract runs: choose intervals of a minute and more.
   */
  readonly gate?: Gate;
  /** Lets the next pass throw. */
  failNextPass?(): void;
  /** What it holds outside of Node's own accounts, by name: connections as the server counts them, clients of a pool, listeners of an emitter. */
  open?(): Counts | Promise<Counts>;
  /** Takes down what the test has built around it; called last. */
  dispose?(): unknown;
}

export type Counts = Readonly<Record<string, number>>;

/** `work`: `addWork` and `workDone`. `hold`: `gate`. `fail`: `failNextPass`. */
export type LifecycleAbility = 'work' | 'notify' | 'runOnce' | 'hold' | 'fail';

const MEMBERS = {
  work: ['addWork', 'workDone'],
  notify: ['notify'],
  runOnce: ['runOnce'],
  hold: ['gate'],
  fail: ['failNextPass'],
} as const satisfies Record<LifecycleAbility, readonly (keyof LifecycleSubject)[]>;

/** The members that it lacks for what is asked. */
export function missingMembers(subject: LifecycleSubject, asks: readonly LifecycleAbility[]): readonly string[] {
  return asks.flatMap((ability) => MEMBERS[ability].filter((member) => subject[member] === undefined));
}
