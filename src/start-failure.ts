import { BatonError, describeError, errorCode } from '@nest-baton/core';
import type { AppConfig } from './app.config.js';

/** What a person at a terminal needs to read when the service did not start: one sentence with the remedy. Pure. */
export function describeStartFailure(error: unknown, config?: AppConfig): string {
  if (errorCode(error) === 'EADDRINUSE' && config !== undefined)
    return `Port ${config.port} on ${config.host} is in use: stop what listens there, or set BATON_PORT to another one.`;
  if (errorCode(error) === 'EADDRNOTAVAIL' && config !== undefined)
    return `${config.host} is not an address of this machine: correct BATON_HOST.`;
  if (errorCode(error) === 'EACCES' && config !== undefined)
    return `Port ${config.port} may not be opened by this user: set BATON_PORT to one above 1023.`;
  if (error instanceof BatonError) return error.message;
  return `${describeError(error).replace(/\.+$/, '')}.`;
}
