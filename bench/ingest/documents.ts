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
/** All of a line but its message. */
const FRAME_BYTES = 100;

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

/** As `logLine`, of about so many bytes as JSON, 100 at least. The text is the same string in all: making it is no part of any comparison. */
export function linesOf(bytes: number): (id: number) => LogLine {
  const length = Math.max(0, bytes - FRAME_BYTES);
  const message = Buffer.alloc(length, `${MESSAGE} `).toString();
  return (id) => ({
    id,
    timestamp: '2026-01-01T00:00:00.000Z',
    level: LEVELS[id & 3] ?? 'info',
    service: 'checkout',
    message,
  });
}

/** What a run asks for: of a size, or ordinary ones. */
export function linesFor({ bytes }: { readonly bytes?: number }): (id: number) => LogLine {
  return bytes === undefined ? logLine : linesOf(bytes);
}
