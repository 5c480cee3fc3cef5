import { BatonError } from '@nest-baton/core';

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
