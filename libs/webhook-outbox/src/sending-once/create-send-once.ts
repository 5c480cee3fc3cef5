import { systemClock } from '@nest-baton/core';
import { SendOnce, type SendOnceSetup } from './send-once.js';

/** Undefined where the caller gets the error. */
export function createSendOnce(setup: SendOnceSetup): SendOnce | undefined {
  return setup.options.onPersistFailure === 'send-once' ? new SendOnce(setup, systemClock) : undefined;
}
