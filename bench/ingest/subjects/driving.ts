import { type LogLine, logLine } from '../documents.js';

/** Hands in `count` documents one by one, as a caller does who waits for room and for nothing else. */
export async function fireAndForget(
  count: number,
  line: (id: number) => LogLine,
  add: (doc: LogLine) => Promise<void>,
): Promise<void> {
  for (let id = 0; id < count; id++) await add(line(id));
}

export interface ReceiptsOptions {
  readonly count: number;
  /** Calls under way at most. */
  readonly window: number;
  /** Makes the call that begins with this document; resolves when the server has all its documents. */
  readonly send: (id: number) => Promise<void>;
  /** How many documents a call takes; default 1. */
  readonly perCall?: number;
  /** Sends what nothing else would send, once all calls have been made. */
  readonly flush?: () => Promise<void>;
}

/**
 * Hands in `count` documents and waits until each call has been confirmed; rejects with the first failure. New calls are made in gulps, when
 * half of the window is free, as replies come in; the same two functions serve all calls, so that the driver itself costs little.
 */
export function withReceipts({ count, window, perCall = 1, send, flush }: ReceiptsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let open = 0;
    const pump = (): void => {
      for (; next < count && open < window; next += perCall) {
        open++;
        send(next).then(onSettled, reject);
      }
      if (next >= count) flush?.().catch(reject);
    };
    const onSettled = (): void => {
      open--;
      if (next < count) {
        if (open <= window / 2) pump();
      } else if (open === 0) resolve();
    };
    pump();
  });
}

/** `callers` of them, each with one document under way at a time, for a while. Returns how many documents were confirmed. */
export async function closedLoop(
  callers: number,
  durationMs: number,
  send: (doc: LogLine) => Promise<void>,
): Promise<number> {
  const endsAt = performance.now() + durationMs;
  let next = 0;
  let confirmed = 0;
  const call = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      await send(logLine(next++));
      confirmed++;
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return confirmed;
}
