import fc from 'fast-check';
import { type BufferShare, SharedBuffer } from './shared-buffer.js';

const LIMITS = { maxBufferDocs: 100, maxBufferBytes: 1_000 };

function fill(share: BufferShare, bytes: number): number {
  let docs = 0;
  for (; share.hasRoom(bytes); docs++) share.take(bytes);
  return docs;
}

describe('SharedBuffer', () => {
  it('gives an index that is alone all of it', () => {
    const buffer = new SharedBuffer(LIMITS, 1);
    const alone = buffer.join(() => undefined);
    expect([buffer.largestShareBytes, fill(alone, 1), alone.isFull]).toEqual([1_000, 100, true]);
  });

  it('keeps room for each index, whatever the others take', () => {
    const buffer = new SharedBuffer(LIMITS, 2);
    const [greedy, modest] = [buffer.join(() => undefined), buffer.join(() => undefined)];
    expect([fill(greedy, 1), fill(modest, 1)]).toEqual([75, 25]);
  });

  it('tells the others of room that they may take, and of no other', () => {
    const told: string[] = [];
    const buffer = new SharedBuffer(LIMITS, 2);
    const [a, b] = [buffer.join(() => told.push('a')), buffer.join(() => told.push('b'))];
    fill(a, 1);
    b.take(1);
    b.give(1, 1);
    expect(told).toEqual([]);
    a.give(1, 1);
    expect(told).toEqual(['b']);
  });

  it('never passes its limits, never breaks into a reserve, and ends empty', () => {
    const step = fc.record({ index: fc.nat(), bytes: fc.integer({ min: 0, max: 700 }), isTaking: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 200 }), (indexes, steps) => {
        const buffer = new SharedBuffer(LIMITS, indexes);
        const shares = Array.from({ length: indexes }, () => buffer.join(() => undefined));
        const held: number[][] = shares.map(() => []);
        for (const { index, bytes, isTaking } of steps) {
          const which = index % indexes;
          const share = shares[which]!;
          const fitsReserve = share.docs < buffer.reserve.docs && share.bytes + bytes <= buffer.reserve.bytes;
          if (fitsReserve) expect(share.hasRoom(bytes)).toBe(true);
          if (isTaking && share.hasRoom(bytes)) {
            share.take(bytes);
            held[which]!.push(bytes);
          } else {
            const given = held[which]!.pop();
            if (given !== undefined) share.give(1, given);
          }
          expect(shares.reduce((sum, { docs }) => sum + docs, 0)).toBeLessThanOrEqual(100);
          expect(shares.reduce((sum, one) => sum + one.bytes, 0)).toBeLessThanOrEqual(1_000);
        }
        held.forEach((all, which) => all.forEach((bytes) => shares[which]!.give(1, bytes)));
        expect(shares.every(({ docs, bytes }) => docs === 0 && bytes === 0)).toBe(true);
        const last = shares.at(-1)!;
        expect(last.hasRoom(buffer.largestShareBytes)).toBe(true);
        expect(last.hasRoom(buffer.largestShareBytes + 1)).toBe(false);
      }),
    );
  });
});
