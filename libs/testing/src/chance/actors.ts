import type { Random } from '@nest-baton/core';
import { randomBetween } from './seeded-random.js';

/** What one actor does, in its order; each step waits for the one before it. */
export type Steps = readonly (() => unknown)[];

/** By name: the calls of one process, one connection, one user. */
export type Actors = Readonly<Record<string, Steps>>;

/** The part of fast-check's scheduler (`fc.scheduler()`) that is used: it decides which actor goes on, and shrinks to the shortest order. */
export interface ActorScheduler {
  schedule<T>(task: Promise<T>, label?: string): Promise<T>;
  waitIdle(): Promise<void>;
}

/**
 * Plays concurrent actors in the order that fast-check chooses, inside a property:
 *
 *     fc.asyncProperty(fc.scheduler(), async (s) => { await playActors(s, { writer: [...], reader: [...] }); ... })
 *
 * Resolves when every actor has come to its end. Whatever else the steps start should be scheduled on `s` too, else it is not part of the order.
 * Rejects with what the first failing step threw, after all others have come to their end; an actor that failed goes no further.
 */
export async function playActors(scheduler: ActorScheduler, actors: Actors): Promise<void> {
  const failures: unknown[] = [];
  const played = Object.entries(actors).map(async ([name, steps]) => {
    try {
      for (const [i, step] of steps.entries()) {
        await scheduler.schedule(Promise.resolve(), `${name} ${i + 1}`);
        await step();
      }
    } catch (error) {
      failures.push(error);
    }
  });
  await scheduler.waitIdle();
  await Promise.all(played);
  if (failures.length > 0) throw failures[0];
}

export interface ScheduledStep {
  readonly actor: string;
  readonly step: () => unknown;
}

/**
 * One order in which the actors' steps may happen, each actor's own order kept; every interleaving is possible. For what runs against real
 * servers, where a property cannot shrink but a seed can repeat: `for (const { step } of interleaved(random, actors)) await step()`.
 */
export function interleaved(random: Random, actors: Actors): ScheduledStep[] {
  const waiting = Object.entries(actors).map(([actor, steps]) => ({ actor, steps: [...steps] }));
  const order: ScheduledStep[] = [];
  for (let left = waiting.reduce((sum, { steps }) => sum + steps.length, 0); left > 0; left--) {
    // Picked by the steps that are left and not by actor: all interleavings are equally likely.
    let nth = randomBetween(random, 0, left - 1);
    const next = waiting.find(({ steps }) => (nth -= steps.length) < 0);
    const step = next?.steps.shift();
    if (next !== undefined && step !== undefined) order.push({ actor: next.actor, step });
  }
  return order;
}
