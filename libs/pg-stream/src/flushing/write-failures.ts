import { sqlState } from '@nest-baton/core';
import { AppendUnknownError, StreamBusyError, StreamUnavailableError } from '../pg-stream.errors.js';

/** The connection was lost under a write, or could not be had. Pure. */
export function lostError(
  stream: string,
  wasSent: boolean,
  cause: unknown,
): AppendUnknownError | StreamUnavailableError {
  return wasSent
    ? new AppendUnknownError(
        `the connection was lost while the stream '${stream}' was written; it may or may not be stored.`,
        { cause },
      )
    : new StreamUnavailableError(`Postgres could not be reached, and nothing was written to the stream '${stream}'.`, {
        cause,
      });
}

/** Pure. */
export function conflictError(stream: string, cause: unknown): StreamUnavailableError {
  return new StreamUnavailableError(
    `Postgres gave up the transaction that wrote the stream '${stream}' in favour of another one: repeat all of it.`,
    { cause },
  );
}

/** Pure. */
export function busyError(stream: string, cause: unknown): StreamBusyError {
  return new StreamBusyError(
    `the stream '${stream}' is held by somebody's transaction for longer than lockTimeout, and nothing was written: end that transaction, or ` +
      'append in it.',
    { cause },
  );
}

/** A lock was waited for as long as `lock_timeout` allows. Pure. */
export function isLockTimeout(error: unknown): boolean {
  return sqlState(error) === '55P03';
}

/** Something in the data itself is refused, so that without it the rest may go through. Pure. */
export function isAboutData(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '');
}
