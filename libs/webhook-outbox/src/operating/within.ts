/** For what has nothing left to wait for but a statement that may never be answered. */
export const CLOSE_TIMEOUT_MS = 1_000;

/** Resolves when the work has ended, or after so long; rejects as it does until then. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
