import { setImmediate as turn } from 'node:timers/promises';
import { CallQueue } from './call-queue.js';

describe('CallQueue', () => {
  it('runs one call at a time, in the order in which they were made', async () => {
    const queue = new CallQueue();
    const log: string[] = [];
    const call = (name: string) => async () => {
      log.push(`+${name}`);
      await turn();
      log.push(`-${name}`);
      return name;
    };
    expect(await Promise.all(['a', 'b', 'c'].map((name) => queue.add(1, call(name))))).toEqual(['a', 'b', 'c']);
    expect(log).toEqual(['+a', '-a', '+b', '-b', '+c', '-c']);
  });

  it('does not run what was queued behind a failed call, and runs what comes after', async () => {
    const queue = new CallQueue();
    const ran: string[] = [];
    const failed = queue.add(1, async () => Promise.reject(new Error('boom')));
    const behind = queue.add(1, async () => void ran.push('behind'));
    await expect(failed).rejects.toThrow('boom');
    await expect(behind).rejects.toThrow('boom');
    await queue.add(1, async () => void ran.push('after'));
    expect(ran).toEqual(['after']);
  });

  it('holds at most 16 MiB, and always takes one', async () => {
    const queue = new CallQueue();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const first = queue.add(20 * 1024 * 1024, () => gate);
    await expect(queue.add(1, async () => undefined)).rejects.toMatchObject({ code: 'WRITER_QUEUE_FULL' });
    open();
    await first;
    await turn();
    await queue.add(1, async () => undefined);
  });
});
