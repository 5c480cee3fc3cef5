import { describeError } from './describe-error.js';

/**
 * Calls a callback that is not allowed to fail, from a place that could not go on if it did: a socket's event handler, a loop that would
 * end, a commit that has happened. What it throws, or what its promise rejects with, becomes a process warning and nothing else.
 */
export function guardedCall(what: string, callback: () => unknown): void {
  const warn = (error: unknown): void =>
    process.emitWarning(`${what} failed: ${describeError(error)}`, { type: 'BatonWarning' });
  try {
    const returned = callback();
    if (isThenable(returned)) returned.then(undefined, warn);
  } catch (error) {
    warn(error);
  }
}

/** By shape: promises of another realm or library are not `instanceof Promise`. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
