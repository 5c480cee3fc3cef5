import { randomInt } from 'node:crypto';

/** Time as an argument, so that a decision can be tested at any moment. */
export interface Clock {
  /** Milliseconds since the epoch. May jump in either direction; never compare it across machines. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never goes back; the only clock for deadlines. */
  monotonic(): number;
}

/** A number in [0, 1), as an argument, so that jitter can be tested. */
export type Random = () => number;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export const systemRandom: Random = () => Math.random();

/** Lower-case letters and digits, 5.17 bits each, from a cryptographic source: for tokens that must not collide or be guessed. */
export function randomToken(length: number): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  let token = '';
  for (let i = 0; i < length; i++) token += alphabet[randomInt(alphabet.length)];
  return token;
}
