import fc from 'fast-check';
import { decodeCount, decodeEntry, encodeEntry, MAX_NAME_BYTES } from './handoff-entry.js';

/** All that are taken; U+FFFD stands for bytes that are no text. */
const names = fc
  .string({ minLength: 1, maxLength: 200, unit: 'grapheme' })
  .filter((name) => Buffer.byteLength(name) <= MAX_NAME_BYTES && !name.includes('\uFFFD'));

describe('an entry', () => {
  it('says the same after it was written and read', () => {
    fc.assert(
      fc.property(names, fc.jsonValue(), (name, info) => {
        const decoded = decodeEntry('1-0', encodeEntry('id', name, info));
        expect(decoded).toEqual({
          kind: 'handoff',
          entry: { id: '1-0', handoffId: 'id', dataStream: name, info: JSON.parse(JSON.stringify(info)), count: 0 },
        });
      }),
    );
  });

  it('never throws, whatever was read', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (flat) => {
        expect(['handoff', 'poison']).toContain(decodeEntry('1-0', flat).kind);
      }),
    );
    expect(decodeEntry('1-0', null).kind).toBe('poison');
  });

  it.each([
    [undefined, 0],
    ['', 0],
    ['-1', 0],
    ['abc', 0],
    ['1.5', 0],
    ['12', 12],
    ['9999999999', 0],
  ])('reads the count %j as %d', (text, count) => expect(decodeCount(text)).toBe(count));
});
