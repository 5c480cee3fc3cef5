import fc from 'fast-check';
import { decodeCursor, encodeCursor, startOf } from './cursor.js';

const position = fc.record({
  streamId: fc.maxSafeNat(),
  position: fc.maxSafeNat(),
  isEnd: fc.boolean(),
});

describe('a cursor', () => {
  it('says what it was made of, in characters that headers and URLs keep', () => {
    fc.assert(
      fc.property(position, (given) => {
        const cursor = encodeCursor(given);
        expect(cursor).toMatch(/^[\w-]{1,64}$/);
        expect(decodeCursor(cursor)).toEqual(given);
      }),
    );
  });

  it('is refused when it is any other text', () => {
    const made = encodeCursor({ streamId: 1, position: 2, isEnd: false });
    const others = ['', '-1', 'now', '0', `${made}=`, ` ${made}`, made.slice(1), 'x'.repeat(10_000), "' OR 1=1"];
    const plain = ['2:1:1', '1:01:1', '1:-1:1', '1:1', '1:1:1:', `1:1:${'9'.repeat(17)}`, '1:1:1:END'];
    for (const cursor of [...others, ...plain.map((text) => Buffer.from(text).toString('base64url'))])
      expect(() => decodeCursor(cursor)).toThrow(expect.objectContaining({ code: 'CURSOR_INVALID' }));
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(encodeCursor(decodeCursor(text))).toBe(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'CURSOR_INVALID' });
        }
      }),
    );
  });
});

describe('a start', () => {
  it('is the earliest that is kept, an index or a cursor, and not two of them', () => {
    expect(startOf({}).position).toBeUndefined();
    expect(startOf({ startIndex: 7 }).position).toBe(7);
    const cursor = encodeCursor({ streamId: 3, position: 5, isEnd: false });
    expect(startOf({ cursor })).toMatchObject({ position: 5, cursor: { streamId: 3 } });
    expect(() => startOf({ startIndex: 1, cursor })).toThrow('exclude each other');
  });
});
