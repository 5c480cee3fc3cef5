import { TrackedCall, type TrackedLine } from '../settling/tracked-call.js';
import { OpenBatch } from './open-batch.js';

function handle(index = 0): TrackedLine {
  return { call: new TrackedCall(1, undefined), index, place: undefined, line: 0 };
}

describe('OpenBatch', () => {
  it('seals its lines with their breaks and its handles in place, and splits without moving a byte', () => {
    const batch = new OpenBatch(() => undefined);
    const tracked = handle();
    batch.add('{"é":1}', 9, undefined);
    batch.add('{"b":2}', 8, tracked);
    batch.add('{"c":3}', 8, undefined);
    const sealed = batch.seal('auto');
    expect(tracked.place).toBeUndefined();
    expect(sealed.body.toString()).toBe('{"é":1}\n{"b":2}\n{"c":3}\n');
    const [head, rest] = sealed.split(1);
    expect(sealed.end()).toBe(false);
    expect(head.body.toString()).toBe('{"é":1}\n');
    expect(rest.line(1).toString()).toBe('{"c":3}');
    expect([rest.size, rest.byteLength, rest.tracked(0), rest.tracked(1)]).toEqual([2, 16, tracked, undefined]);
    expect(() => rest.split(2)).toThrow(RangeError);
  });

  it('lets tracked lines be taken out until it is sealed, also after many others were', () => {
    let given = 0;
    const batch = new OpenBatch((bytes) => (given += bytes));
    const kept = [handle(), handle()];
    batch.add('{"k":0}', 8, kept[0]);
    const gone = Array.from({ length: 3_000 }, () => handle());
    for (const one of gone) batch.add('{"x":1}', 8, one);
    batch.add('{"k":1}', 8, kept[1]);
    for (const one of gone) batch.remove(one.line);
    for (const one of gone.slice(0, 1)) expect(one.line).toBeLessThan(3_002);
    expect([given, batch.count, batch.bytes, batch.trackedCount]).toEqual([24_000, 2, 16, 2]);
    batch.remove(kept[0]!.line);
    batch.add('{"k":2}', 8, undefined);
    expect(batch.seal('auto').body.toString()).toBe('{"k":1}\n{"k":2}\n');
  });
});
