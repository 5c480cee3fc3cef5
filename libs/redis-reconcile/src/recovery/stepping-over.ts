import { describesReply } from '../partitions/partition.js';

/** Acts on a batch; where the server fails on something in it, on each alone. Those before it in the batch find their work done. */
export async function steppingOver<T>(
  batch: readonly T[],
  act: (part: readonly T[]) => Promise<unknown>,
  failures: unknown[],
): Promise<void> {
  try {
    await act(batch);
  } catch (error) {
    if (!isReply(error) || describesReply(error, 'NOGROUP')) throw error;
    if (batch.length > 1) for (const one of batch) await steppingOver([one], act, failures);
    else if (failures.length === 0) failures.push(error);
  }
}

export function throwFirst(failures: readonly unknown[]): void {
  if (failures.length > 0) throw failures[0];
}

/** The server's own word, and none that time heals: the link has made another error of those. */
export function isReply(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === 'ReplyError' || code === 'KEY_TYPE_CONFLICT';
}
