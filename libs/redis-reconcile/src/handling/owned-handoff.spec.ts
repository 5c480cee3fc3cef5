import type { Clock } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import { OwnedHandoff } from './owned-handoff.js';

/** As after a SIGSTOP: the clock has gone on, and no timer has run. */
describe('an owned hand-off after its process was stopped for longer than the lease', () => {
  const make = () => {
    let now = 0;
    const clock: Clock = { now: () => 0, monotonic: () => now };
    const lapses: string[] = [];
    const handoff = new OwnedHandoff({
      partition: {} as Partition,
      entry: { id: '1-0', handoffId: 'id', dataStream: 'x', info: undefined, count: 2, trace: undefined },
      token: 't',
      fence: 7,
      consumer: 'me',
      deadline: 1000,
      clock,
      onLapse: (_handoff, reason) => void lapses.push(reason),
    });
    return { handoff, lapses, at: (time: number) => (now = time) };
  };

  it('is owned up to the deadline', () => {
    const { handoff, at } = make();
    at(999);
    handoff.assertOwned();
    expect(handoff.signal.aborted).toBe(false);
    expect(handoff.attempt).toBe(3);
  });

  it('is not certain to the first who asks, by method or by signal', () => {
    const first = make();
    first.at(1000);
    expect(() => first.handoff.assertOwned()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }));
    const second = make();
    second.at(5000);
    expect(second.handoff.signal.aborted).toBe(true);
    expect(second.lapses).toHaveLength(1);
  });

  it('does not come back to life by a renewal that is answered late', () => {
    const { handoff, at } = make();
    at(1500);
    handoff.checkDeadline();
    handoff.extend(3000);
    expect(handoff.state).toBe('lapsed');
    expect(() => handoff.assertOwned()).toThrow();
  });

  it('stays owned when a renewal was answered in time', () => {
    const { handoff, at } = make();
    handoff.extend(1600);
    at(1500);
    handoff.assertOwned();
    expect(handoff.state).toBe('held');
  });
});
