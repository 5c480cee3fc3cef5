/** About 220 bytes as JSON, as a line of an ordinary service's log is. */
export interface LogLine {
  readonly id: number;
  readonly timestamp: string;
  readonly level: string;
  readonly service: string;
  readonly message: string;
}

const LEVELS = ['debug', 'info', 'warn', 'error'];
const MESSAGE = 'request finished after looking up the customer, the cart and three recommendations in the cache';

/** Made anew for each document, as callers do; the same on every side of a comparison. */
export function logLine(id: number): LogLine {
  return {
    id,
    timestamp: '2026-01-01T00:00:00.000Z',
    level: LEVELS[id & 3] ?? 'info',
    service: 'checkout',
    message: `${MESSAGE} ${id % 1000}`,
  };
}
