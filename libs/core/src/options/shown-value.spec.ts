import { inspect } from 'node:util';
import fc from 'fast-check';
import { shownValue } from './shown-value.js';

describe('shownValue', () => {
  it.each<[unknown, string]>([
    ['fast', `'fast'`],
    [`it's`, `"it's"`],
    ['a\nb', `'a\\nb'`],
    [12, '12'],
    [NaN, 'NaN'],
    [-0, '-0'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('x'), 'Symbol(x)'],
    [5n, '5n'],
    [() => 'secret', 'a function'],
    [class Secret {}, 'a function'],
    [{ password: 'secret' }, 'an object'],
    [['secret', 'other'], 'a list of 2'],
    [new Map([['k', 'secret']]), 'an object'],
    ['postgres://user:secret@host:5432/db', `'postgres://***@host:5432/db'`],
    ['postgres://user:sec@ret@host/db', `'postgres://***@host/db'`],
    ['https://example.com/hook?token=secret&x=1', `'https://example.com/hook?***'`],
  ])('shows %p as %s', (value, expected) => {
    expect(shownValue(value)).toBe(expected);
  });

  it('cuts a long text', () => {
    expect(shownValue('x'.repeat(1_000))).toHaveLength(82);
  });

  it('runs no code of the value', () => {
    const ran = (): never => {
      throw new Error('ran');
    };
    expect(shownValue({ [inspect.custom]: ran, toString: ran, toJSON: ran })).toBe('an object');
    expect(shownValue(Object.defineProperty({}, 'x', { get: ran, enumerable: true }))).toBe('an object');
  });

  it('shows anything, on one line', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true }), (value) => {
        const text = shownValue(value);
        return text.length > 0 && text.length < 600 && !text.includes('\n');
      }),
    );
  });
});
