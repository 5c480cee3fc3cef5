import { createConnection } from 'node:net';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describeError, errorCode } from './describe-error.js';

const withCode = (message: string, code: unknown, more: object = {}) =>
  Object.assign(new Error(message), { code }, more);

describe('describeError', () => {
  it.each<[string, unknown, string]>([
    ['an error', new Error('boom'), 'boom'],
    ['a code that the message lacks', withCode('duplicate key', '23505'), 'duplicate key (23505)'],
    [
      'a code that the message has',
      withCode('connect ECONNREFUSED ::1:5432', 'ECONNREFUSED'),
      'connect ECONNREFUSED ::1:5432',
    ],
    ['a number as code', withCode('gone', 404), 'gone (404)'],
    ['causes', new Error('outer', { cause: new Error('middle', { cause: 'inner' }) }), 'outer: middle: inner'],
    [
      'a cause that says nothing new',
      new Error('query failed: timeout', { cause: new Error('timeout') }),
      'query failed: timeout',
    ],
    ['an error without a message', withCode('', 'EPIPE'), 'Error (EPIPE)'],
    [
      'an aggregate without a message',
      new AggregateError([withCode('a', 'A1'), withCode('b', 'B1')]),
      'a (A1); b (B1)',
    ],
    ['an empty aggregate', new AggregateError([]), 'AggregateError'],
    ['a text', 'just text', 'just text'],
    ['an empty text', '', 'unknown error'],
    ['nothing', undefined, 'unknown error'],
    ['null', null, 'unknown error'],
    ['a number', 0, '0'],
    ['a symbol', Symbol('x'), 'Symbol(x)'],
    ['a big integer', 12n, '12'],
    ['a function', () => 'source code', 'a function'],
    ['a plain object', { message: 'said by a driver', code: 'X' }, 'said by a driver (X)'],
    ['an object that is no error', { status: 500 }, 'Error'],
    ['an object without a prototype', Object.create(null), 'Error'],
    [
      'line breaks and control characters',
      new Error('one\ntwo\r\n\u001b[31mred\u0000\u0085end'),
      'one two [31mred end',
    ],
  ])('describes %s', (_title, error, expected) => {
    expect(describeError(error)).toBe(expected);
  });

  it('ends on causes that form a cycle, and on an aggregate that holds itself', () => {
    const first = new Error('first');
    const second = new Error('second', { cause: first });
    first.cause = second;
    expect(describeError(first)).toBe('first: second');
    const errors: unknown[] = [];
    const aggregate = new AggregateError([]);
    errors.push(aggregate, aggregate);
    aggregate.errors = errors;
    expect(describeError(aggregate)).toMatch(/^AggregateError/);
  });

  it('describes what it can of an error whose getters throw, and of a revoked proxy', () => {
    const hostile = {
      message: 'readable',
      get code(): string {
        throw new Error('getter');
      },
      get cause(): unknown {
        throw new Error('getter');
      },
    };
    expect(describeError(hostile)).toBe('readable');
    expect(errorCode(hostile)).toBeUndefined();
    const { proxy, revoke } = Proxy.revocable<unknown[]>([], {});
    revoke();
    expect(describeError(proxy)).toBe('Error');
    expect(describeError({ errors: proxy })).toBe('Error');
    expect(errorCode({ errors: proxy })).toBeUndefined();
  });

  it('cuts a message of megabytes at 500 characters, and no character in half', () => {
    const text = describeError(new Error('x'.repeat(20_000_000)));
    expect(text).toHaveLength(500);
    expect(text.endsWith('…')).toBe(true);
    const pairs = describeError(new Error(`${'x'.repeat(498)}${'😀'.repeat(100)}`));
    expect(pairs).toBe(`${'x'.repeat(498)}…`);
  });

  it('names at most five of an aggregate', () => {
    const errors = Array.from({ length: 1_000 }, (_, i) => new Error(`e${i}`));
    expect(describeError(new AggregateError(errors))).toBe('e0; e1; e2; e3; e4');
  });

  it('describes errors of another realm, also those of the core of Node inside Jest', async () => {
    expect(describeError(runInNewContext(`new TypeError('elsewhere')`))).toBe('elsewhere');
    const refused = await new Promise<unknown>((resolve) => {
      createConnection({ port: 1, host: '127.0.0.1' }).on('error', resolve);
    });
    expect(describeError(refused)).toBe('connect ECONNREFUSED 127.0.0.1:1');
    expect(errorCode(refused)).toBe('ECONNREFUSED');
  });

  it('gives one line of at most 500 characters for anything', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }), (value) => {
        const text = describeError(value);
        return text.length > 0 && text.length <= 500 && !/\p{Cc}/u.test(text);
      }),
    );
  });
});

describe('errorCode', () => {
  it.each<[string, unknown, string | undefined]>([
    ['its own', withCode('x', '23505'), '23505'],
    ['that of its cause', new Error('x', { cause: withCode('y', 'ECONNRESET') }), 'ECONNRESET'],
    ['that of the driver', { driverError: withCode('y', '40001') }, '40001'],
    ['that of the first of an aggregate', new AggregateError([withCode('a', 'ETIMEDOUT')]), 'ETIMEDOUT'],
    ['that behind a number', withCode('x', 404, { cause: withCode('y', 'ABC') }), 'ABC'],
    ['that behind an empty one', withCode('x', '', { cause: withCode('y', 'ABC') }), 'ABC'],
    ['none', new Error('x'), undefined],
    ['none of a text', 'ECONNRESET', undefined],
    ['none of nothing', undefined, undefined],
  ])('finds %s', (_title, error, expected) => {
    expect(errorCode(error)).toBe(expected);
  });

  it('ends on a cycle', () => {
    const error = new Error('x');
    error.cause = error;
    expect(errorCode(error)).toBeUndefined();
  });
});
