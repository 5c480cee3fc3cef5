import { setImmediate as turn } from 'node:timers/promises';
import { CallQueue } from './call-queue.js';

describe('CallQueue', () => {
  const log: string[] = [];
  const call = (name: string) => async () => {
    log.push(`+${name}`);
    await turn();
    log.push(`-${name}`);
    return name;
  };
  beforeEach(() => void log.splice(0));

  it('begins calls at once, in the order in which they were made', async () => {
    const queue = new CallQueue();
    expect(await Promise.all(['a', 'b'].map((name) => queue.add(1, call(name))))).toEqual(['a', 'b']);
    expect(log).toEqual(['+a', '+b', '-a', '-b']);
  });

  it('runs a call alone, after all before and before all behind it', async () => {
    const queue = new CallQueue();
    const calls = [
      queue.add(1, call('a')),
      queue.addAlone(call('alone')),
      queue.addAlone(call('too')),
      queue.add(1, call('b')),
    ];
    await Promise.all(calls);
    await queue.add(1, call('c'));
    expect(log).toEqual(['+a', '-a', '+alone', '-alone', '+too', '-too', '+b', '-b', '+c', '-c']);
  });

  it('does not run what waits behind a failed call, and runs what comes after', async () => {
    const queue = new CallQueue();
    const failed = queue.addAlone(async () => Promise.reject(new Error('boom')));
    const behind = [queue.add(1, call('behind')), queue.addAlone(call('behind'))];
    await expect(failed).rejects.toThrow('boom');
    for (const one of behind) await expect(one).rejects.toThrow('boom');
    await queue.add(1, call('after'));
    expect(log).toEqual(['+after', '-after']);
  });

  it('takes nothing while the calls that have begun are about to fail', async () => {
    const queue = new CallQueue();
    let fail = (_error: Error): void => undefined;
    const failed = queue.add(1, () => new Promise((_, reject) => (fail = reject)));
    const error = new Error('boom');
    queue.refused(error);
    fail(error);
    await expect(queue.add(1, call('overtaking'))).rejects.toBe(error);
    await expect(failed).rejects.toBe(error);
    await queue.add(1, call('after'));
    expect(log).toEqual(['+after', '-after']);
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
