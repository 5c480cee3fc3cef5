import { quoteIdentifier, sqlState } from './queryable.js';

const withCode = (code: unknown, more: object = {}) => Object.assign(new Error('x'), { code }, more);

describe('sqlState', () => {
  it.each(['23505', '40P01', '57P01', '0A000', 'P0001', 'XX000', 'HV00B', 'F0000', '2BP01'])('finds %s', (code) => {
    expect(sqlState(withCode(code))).toBe(code);
    expect(sqlState({ driverError: withCode(code) })).toBe(code);
    expect(sqlState(new Error('wrapped', { cause: new Error('again', { cause: withCode(code) }) }))).toBe(code);
  });

  it.each([
    'EPIPE',
    'EPERM',
    'EBUSY',
    'EROFS',
    'E2BIG',
    'ECONNREFUSED',
    'ABORT',
    '235',
    '235055',
    'abcd1',
    23505,
    null,
  ])('does not take %p for one', (code) => {
    expect(sqlState(withCode(code))).toBeUndefined();
  });

  it('looks behind a system code', () => {
    expect(sqlState(withCode('EPIPE', { cause: withCode('57P01') }))).toBe('57P01');
  });

  it('ends on a cycle, and on what is no error', () => {
    const error = new Error('x');
    error.cause = error;
    Object.assign(error, { driverError: error });
    for (const value of [error, undefined, null, '23505', 5, {}]) expect(sqlState(value)).toBeUndefined();
  });
});

describe('quoteIdentifier', () => {
  it.each([
    ['baton', '"baton"'],
    ['Mixed Case', '"Mixed Case"'],
    ['a"; DROP TABLE x; --', '"a""; DROP TABLE x; --"'],
    ['', '""'],
  ])('quotes %s', (name, expected) => {
    expect(quoteIdentifier(name)).toBe(expected);
  });
});
