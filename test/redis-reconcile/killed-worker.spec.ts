import { fileURLToPath } from 'node:url';
import type { Handoff } from '@nest-baton/redis-reconcile';
import { type ChildWorker, sharedRedisUrl, startProcess, waitFor } from '@nest-baton/testing';
import { freshService, type Instance, startInstance } from './support/instance.js';

const entry = fileURLToPath(new URL('support/worker.ts', import.meta.url));

describe('a worker process', () => {
  const open: Instance[] = [];
  const children: ChildWorker[] = [];

  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.stop()));
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });

  const start = async (...args: Parameters<typeof startInstance>) => {
    const instance = await startInstance(...args);
    open.push(instance);
    return instance;
  };
  const startChild = async (service: string) => {
    const child = await startProcess({ entry, args: [sharedRedisUrl(), service, '1000'] });
    children.push(child);
    await child.waitForLine(/^ready$/, 20_000);
    return child;
  };

  it('that is killed loses its work to another consumer, as the second attempt under a higher fence (MainFlow)', async () => {
    const service = freshService();
    const child = await startChild(service);
    const producer = await start({ service });
    for (let i = 0; i < 5; i++) await producer.service.produce(`s${i}`);
    const lines = await Promise.all(
      Array.from({ length: 5 }, (_, i) => child.waitForLine(new RegExp(`^owns s${i} attempt 1`))),
    );
    const fences = lines.map((line) => Number(line.split(' ').at(-1)));
    const seen: Handoff[] = [];
    await start({ service, handle: async (handoff) => void seen.push(handoff) });
    child.signal('SIGKILL');
    await child.exited;
    const at = performance.now();
    await waitFor(() => seen.length === 5, { description: 'all came to the survivor' });
    // Lease and idle time 1 s, a look each 200 ms.
    expect(performance.now() - at).toBeLessThan(3000);
    expect(seen.map(({ attempt }) => attempt)).toEqual([2, 2, 2, 2, 2]);
    expect(seen.map(({ consumer }) => consumer.startsWith('test~'))).toEqual([true, true, true, true, true]);
    expect(Math.min(...seen.map(({ fence }) => fence))).toBeGreaterThan(Math.max(...fences));
  });

  it('that was stopped for longer than its lease believes in no further write when it wakes', async () => {
    const service = freshService();
    const child = await startChild(service);
    const producer = await start({ service });
    await producer.service.produce('x');
    await child.waitForLine(/^writes x/);
    child.signal('SIGSTOP');
    const seen: Handoff[] = [];
    await start({ service, handle: async (handoff) => void seen.push(handoff) });
    await waitFor(() => seen.length === 1, { description: 'somebody else took over' });
    const wokenAt = Date.now();
    child.signal('SIGCONT');
    await child.waitForLine(/^stops x/);
    await child.waitForLine(/^aborted x/);
    const writes = child.lines.filter((line) => line.startsWith('writes x')).map((line) => Number(line.split(' ')[2]));
    expect(writes.filter((time) => time >= wokenAt)).toEqual([]);
    expect(seen[0]?.attempt).toBe(2);
  });

  it('that is asked to end hands its work over at once, uncounted', async () => {
    const service = freshService();
    const child = await startChild(service);
    const producer = await start({ service });
    await producer.service.produce('x');
    await child.waitForLine(/^owns x/);
    const seen: number[] = [];
    await start({ service, handle: async ({ attempt }) => void seen.push(attempt) });
    child.signal('SIGTERM');
    await child.exited;
    await waitFor(() => seen.length === 1, { description: 'the other one has it', timeoutMs: 1000 });
    expect(seen).toEqual([1]);
  });
});
