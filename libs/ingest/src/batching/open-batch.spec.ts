import fc from 'fast-check';
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

describe('OpenBatch, whatever is added and taken out', () => {
  it('seals exactly what is left, in order, each handle at its line, and gives back the bytes of the rest', () => {
    const step = fc.oneof(
      fc.record({ line: fc.json(), isTracked: fc.boolean() }),
      fc.record({ takeOut: fc.nat() }),
      // Many at once, so that gaps are closed on the way.
      fc.record({ gone: fc.integer({ min: 1, max: 1_500 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let given = 0;
        const batch = new OpenBatch((bytes) => (given += bytes));
        let kept: { readonly line: string; readonly handle: TrackedLine | undefined }[] = [];
        let expectedGiven = 0;
        const add = (line: string, tracked: TrackedLine | undefined) =>
          batch.add(line, Buffer.byteLength(line) + 1, tracked);
        for (const step of steps) {
          if ('line' in step) {
            const tracked = step.isTracked ? handle() : undefined;
            add(step.line, tracked);
            kept.push({ line: step.line, handle: tracked });
          } else if ('gone' in step) {
            const gone = Array.from({ length: step.gone }, () => handle());
            for (const one of gone) add('0', one);
            for (const one of gone) batch.remove(one.line);
            expectedGiven += 2 * step.gone;
          } else {
            const tracked = kept.filter((one) => one.handle !== undefined);
            const out = tracked[step.takeOut % Math.max(1, tracked.length)];
            if (out === undefined) continue;
            batch.remove(out.handle!.line);
            kept = kept.filter((one) => one !== out);
            expectedGiven += Buffer.byteLength(out.line) + 1;
          }
        }
        const text = kept.map(({ line }) => `${line}\n`).join('');
        expect([batch.count, batch.bytes, given]).toEqual([kept.length, Buffer.byteLength(text), expectedGiven]);
        if (kept.length === 0) return;
        const sealed = batch.seal('auto');
        expect(sealed.body.toString()).toBe(text);
        kept.forEach((one, i) => {
          expect(sealed.line(i).toString()).toBe(one.line);
          expect(sealed.tracked(i)).toBe(one.handle);
        });
      }),
    );
  });
});
