import { failoverBetween, leaseEventsOf, LeaseRecorder, machineTime, ownerGone } from './lease-recorder.js';

describe('LeaseRecorder', () => {
  it('writes lines that are found again among others, also behind a prefix, without those that were cut short', () => {
    const lines: string[] = ['starting'];
    let now = 10;
    const recorder = new LeaseRecorder(
      'a',
      (line) => lines.push(line),
      () => now++,
    );
    const since = recorder.now();
    recorder.acquired('run-1', 5, 100, since);
    recorder.renewed('run-1', 5, 100);
    recorder.stillOwned('run-1', 5);
    recorder.raised('run-1', 5, 7);
    recorder.ended('run-1', 7, true);
    recorder.lost('run-2', 1);
    lines[1] = `[stdout] ${lines[1]}`;
    lines.push('baton-lease {"what":"acqui');
    const held = { owner: 'a', line: 'run-1', fence: 5 };
    expect(leaseEventsOf(lines)).toEqual([
      { what: 'acquired', ...held, from: 10, to: 11, leaseMs: 100 },
      { what: 'renewed', ...held, from: 12, to: 12, leaseMs: 100 },
      { what: 'renewed', ...held, from: 13, to: 13, leaseMs: 0 },
      { what: 'raised', ...held, from: 14, to: 14, raisedTo: 7 },
      { what: 'ended', ...held, fence: 7, from: 15, to: 15, isSettled: true },
      { what: 'lost', owner: 'a', line: 'run-2', fence: 1, from: 16, to: 16 },
    ]);
  });

  it.each([NaN, Infinity, -1, undefined as never])('refuses a lease of %s ms', (leaseMs) => {
    const lines: string[] = [];
    const recorder = new LeaseRecorder('a', (line) => lines.push(line));
    expect(() => recorder.acquired('run-1', 1, leaseMs)).toThrow(RangeError);
    expect(() => recorder.renewed('run-1', 1, leaseMs)).toThrow(RangeError);
    expect(lines).toEqual([]);
  });

  it.each([NaN, 2 ** 53, '7' as never])('refuses %s as a fence', (fence) => {
    const lines: string[] = [];
    const recorder = new LeaseRecorder('a', (line) => lines.push(line));
    expect(() => recorder.acquired('run-1', fence, 100)).toThrow(RangeError);
    expect(() => recorder.raised('run-1', 1, fence)).toThrow(RangeError);
    expect(() => recorder.ended('run-1', fence, true)).toThrow(RangeError);
    expect(lines).toEqual([]);
  });

  it('has what the one who breaks things adds', () => {
    const from = machineTime();
    expect(failoverBetween(1, 2)).toEqual({ what: 'failover', from: 1, to: 2 });
    expect(failoverBetween(1, 2, 'run-1')).toEqual({ what: 'failover', from: 1, to: 2, line: 'run-1' });
    const gone = ownerGone('a', from);
    expect(gone).toMatchObject({ what: 'gone', owner: 'a', from });
    expect(gone.to).toBeGreaterThanOrEqual(from);
  });
});
