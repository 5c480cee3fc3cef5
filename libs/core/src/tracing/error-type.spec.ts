import { errorType } from './error-type.js';

const named = (name: string, extra: object = {}) =>
  Object.assign(new Error('document 17 of {"secret":1}'), { name, ...extra });

describe('errorType', () => {
  it('is the code, also of a cause', () => {
    expect(errorType({ code: 'ECONNRESET' })).toBe('ECONNRESET');
    expect(errorType(new Error('refused', { cause: { code: '23505' } }))).toBe('23505');
    expect(errorType({ name: 'AggregateError', errors: [{ code: 'ECONNREFUSED' }] })).toBe('ECONNREFUSED');
  });

  it('is the name of the class where that says something', () => {
    expect(errorType(new TypeError('x'))).toBe('TypeError');
    expect(errorType(new DOMException('x', 'TimeoutError'))).toBe('TimeoutError');
    expect(errorType(new Error('wrapped', { cause: new RangeError('x') }))).toBe('RangeError');
    expect(errorType(new Error('x'), 'ambiguous')).toBe('ambiguous');
  });

  it.each([
    [undefined],
    [null],
    ['the whole document'],
    [new Error('{"secret":1}')],
    [named('{"secret":1}')],
    [named('Error', { code: 'could not store {"secret":1}' })],
    [named('x'.repeat(65))],
    [
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('no');
          },
        },
      ),
    ],
  ])('never quotes: %#', (error) => {
    expect(errorType(error)).toBe('_OTHER');
  });
});
