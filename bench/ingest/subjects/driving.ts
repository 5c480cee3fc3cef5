import { type LogLine, logLine } from '../documents.js';

/** Hands in `count` documents one by one, as a caller does who waits for room and for nothing else. */
export async function fireAndForget(count: number, add: (doc: LogLine) => Promise<void>): Promise<void> {
  for (let id = 0; id < count; id++) await add(logLine(id));
}

export interface ReceiptsOptions {
  readonly count: number;
  /** Documents under way at most. */
  readonly window: number;
  /** Documents a call; default 1. */
  readonly perCall?: number;
  /** Resolves when the server has all documents of the call. */
  readonly send: (docs: readonly LogLine[]) => Promise<void>;
  /** Sends what nothing else would send, once all calls have been made. */
  readonly flush?: () => Promise<void>;
}

/** Hands in `count` documents and waits until each call has been confirmed; rejects with the first failure. */
export function withReceipts({ count, window, perCall = 1, send, flush }: ReceiptsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let open = 0;
    let isPumping = false;
    const pump = (): void => {
      isPumping = true;
      while (next < count && open + perCall <= window) {
        const docs = Array.from({ length: Math.min(perCall, count - next) }, () => logLine(next++));
        open += docs.length;
        send(docs).then(() => onSettled(docs.length), reject);
      }
      isPumping = false;
      if (next >= count) flush?.().catch(reject);
    };
    const onSettled = (settled: number): void => {
      open -= settled;
      if (next >= count && open === 0) return resolve();
      // In gulps, as replies come in: a call for each settled one would measure the driver.
      if (!isPumping && next < count && open <= window / 2) pump();
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
