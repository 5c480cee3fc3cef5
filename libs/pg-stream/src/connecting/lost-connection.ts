import { describeError, sqlState } from '@nest-baton/core';

/** Inside this lib only: callers of the service see APPEND_UNKNOWN or STREAM_UNAVAILABLE. */
export class LostConnection extends Error {
  /** @param wasSent the statement had left, so that it may have been executed. */
  constructor(
    readonly wasSent: boolean,
    override readonly cause: unknown,
  ) {
    super(describeError(cause));
    this.name = 'LostConnection';
  }
}

export function isLostConnection(error: unknown): error is LostConnection {
  return typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'LostConnection';
}

/**
 * Whether an error of a statement that was sent leaves open what became of it. Pure. An ERROR of the server undoes the statement; anything
 * else (FATAL when the backend was terminated, a socket's error, a timeout, an answer that never came) may arrive after the commit.
 */
export function leavesOutcomeOpen(error: unknown): boolean {
  const state = sqlState(error);
  if (state === undefined || state.startsWith('08') || state.startsWith('57P')) return true;
  const { severity } = (error ?? {}) as { severity?: unknown };
  return severity === 'FATAL' || severity === 'PANIC';
}

/**
 * The server gave a transaction up for another's sake: the same call may succeed when it is repeated as a whole. Pure. Also a position that is
 * taken: it was drawn in a transaction whose snapshot is too old to see what holds it.
 */
export function isConflict(error: unknown): boolean {
  return ['40001', '40P01', '23505'].includes(sqlState(error) ?? '');
}
