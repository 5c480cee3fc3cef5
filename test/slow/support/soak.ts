import type { Random } from '@nest-baton/core';
import { seededRandom, soakPlan, withSeed } from '@nest-baton/testing';

/** What is over needs time to end: leases run out, retries are made, children start. */
const SETTLING_MS = 90_000;

export interface Soak {
  /**
   * Choices of one actor, which follow from the run's seed and its number alone: which of two actors comes first is up to the machine, and must not
   * change what either of them does.
   */
  randomOf(actor: number): Random;
  /** False when it is time to stop breaking things, and to look whether all comes to its end. */
  isOn(): boolean;
}

/** A test that breaks things for as long as the run's plan says; its title names the seed that repeats it. */
export function soak(title: string, run: (soak: Soak) => Promise<void>): void {
  const { seed, durationMs } = soakPlan();
  const begin = () => {
    const endsAt = performance.now() + durationMs;
    return run({
      randomOf: (actor) => seededRandom((seed + Math.imul(actor + 1, 0x9e37_79b9)) >>> 0),
      isOn: () => performance.now() < endsAt,
    });
  };
  it(
    `${title} (SLOW_SEED=${seed} SLOW_SECONDS=${durationMs / 1000})`,
    () => withSeed(seed, begin),
    durationMs + SETTLING_MS,
  );
}

/** As many actors as asked for, each doing one step after the other for as long as the soak is on. */
export async function inParallel(
  soaking: Soak,
  actors: number,
  step: (actor: number, random: Random, nth: number) => Promise<void>,
): Promise<void> {
  await Promise.all(
    Array.from({ length: actors }, async (_, actor) => {
      const random = soaking.randomOf(actor);
      for (let nth = 0; soaking.isOn(); nth++) await step(actor, random, nth);
    }),
  );
}

/** The one who breaks things: a step after each pause of at most `everyMs`, until the soak is over. */
export async function breakThings(
  soaking: Soak,
  everyMs: number,
  step: (random: Random) => Promise<unknown>,
): Promise<void> {
  const random = soaking.randomOf(-2);
  while (soaking.isOn()) {
    await new Promise((resolve) => setTimeout(resolve, random() * everyMs));
    await step(random);
  }
}

/** Does it until it is known to be done. Errors that say that a retry is in order are what a soak is about; others end it. */
export async function untilDone<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if ((error as { retryable?: boolean }).retryable !== true) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
