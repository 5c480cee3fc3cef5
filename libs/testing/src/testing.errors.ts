import { BatonError } from '@nest-baton/core';
import type { Violation } from './checking/violation.js';

/** No backend of this kind could be found. The message names every way that was tried, why it failed, and how to open one. */
export class BackendUnavailableError extends BatonError {
  override readonly code = 'BACKEND_UNAVAILABLE';
}

/** A way to a backend was there and failed: a server that exited or never became ready, an engine that could not start a container. */
export class BackendFailedError extends BatonError {
  override readonly code = 'BACKEND_FAILED';
}

/** A condition did not come true, or a line was not printed, before the deadline. */
export class WaitTimeoutError extends BatonError {
  override readonly code = 'WAIT_TIMEOUT';
}

/** The child process ended, or could not be started, while something was expected of it. The message ends with its last lines. */
export class ProcessEndedError extends BatonError {
  override readonly code = 'PROCESS_ENDED';
}

/** What was admitted is not what has ended plus what is open. The message names each kind of violation with its first ids. */
export class ConservationViolatedError extends BatonError {
  override readonly code = 'CONSERVATION_VIOLATED';

  constructor(
    message: string,
    readonly violations: readonly Violation[],
  ) {
    super(message);
  }
}

/** Two owners at once, a fence that did not grow, a settle by an old owner. The message names each kind with its first data streams. */
export class LeaseHistoryViolatedError extends BatonError {
  override readonly code = 'LEASE_HISTORY_VIOLATED';

  constructor(
    message: string,
    readonly violations: readonly Violation[],
  ) {
    super(message);
  }
}

/** What ran with a seed failed. The message names the seed that repeats it; `cause` is the failure. */
export class SeededRunFailedError extends BatonError {
  override readonly code = 'SEEDED_RUN_FAILED';
}
