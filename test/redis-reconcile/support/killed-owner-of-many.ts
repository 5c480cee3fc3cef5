import type { Handoff, RedisReconcileOptions } from '@nest-baton/redis-reconcile';
import { startProcess, waitFor } from '@nest-baton/testing';
import { fileURLToPath } from 'node:url';
import { freshService, startInstance } from './instance.js';

const entry = fileURLToPath(new URL('holder.ts', import.meta.url));
const MANY = 500;
const LEASE_MS = 2_000;

export interface Aftermath {
  /** What two survivors were given, in the order in which it came. */
  readonly handled: readonly {
    readonly dataStream: string;
    readonly attempt: number;
    readonly isAfterTheKill: boolean;
  }[];
  readonly isEveryFenceHigher: boolean;
  readonly left: number;
}

/** A process that owns 500 is killed; two others, who were there before, take over. */
export async function killOwnerOfMany(url: string, options: Partial<RedisReconcileOptions>): Promise<Aftermath> {
  const service = freshService();
  // Five hundred calls at once, from a process that may stand still for a second.
  const producer = await startInstance({ url, service, options: { commandTimeout: '20s' } });
  await Promise.all(Array.from({ length: MANY }, (_, i) => producer.service.produce(`s${i}`)));
  const holder = await startProcess({ entry, args: [url, service, `${LEASE_MS}`, `${MANY}`] });
  const line = await holder.waitForLine(/^owns all (\d+)$/, 30_000);
  const highest = Number(line.split(' ').at(-1));
  const handled: { dataStream: string; attempt: number; fence: number; isAfterTheKill: boolean }[] = [];
  let isKilled = false;
  const handle = async ({ dataStream, attempt, fence }: Handoff) =>
    void handled.push({ dataStream, attempt, fence, isAfterTheKill: isKilled });
  const settings = { url, service, handle, concurrency: 50, options: { lease: LEASE_MS, ...options } };
  const survivors = [await startInstance(settings), await startInstance(settings)];
  try {
    isKilled = true;
    holder.signal('SIGKILL');
    await holder.exited;
    await waitFor(() => handled.length >= MANY, { description: 'all came to the survivors', timeoutMs: 60_000 });
    const sum = async () => {
      const { queued, pending, waiting, dead } = await producer.service.stats();
      return queued + pending + waiting + dead;
    };
    await waitFor(async () => (await sum()) === 0, { description: 'all of it ended', timeoutMs: 30_000 });
    return {
      handled,
      isEveryFenceHigher: handled.every(({ fence }) => fence > highest),
      left: await sum(),
    };
  } finally {
    await holder.stop();
    await Promise.all([producer, ...survivors].map((instance) => instance.close()));
  }
}

/** Each once, as its second attempt, above every fence of the dead, and nothing before the kill. */
export function expectAllTakenOver({ handled, isEveryFenceHigher, left }: Aftermath): void {
  expect(handled).toHaveLength(MANY);
  expect(new Set(handled.map(({ dataStream }) => dataStream)).size).toBe(MANY);
  expect(new Set(handled.map(({ attempt }) => attempt))).toEqual(new Set([2]));
  expect(handled.every(({ isAfterTheKill }) => isAfterTheKill)).toBe(true);
  expect({ isEveryFenceHigher, left }).toEqual({ isEveryFenceHigher: true, left: 0 });
}
