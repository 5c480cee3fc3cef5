import fc from 'fast-check';
import { type EnvironmentVariable, readEnvironment } from './environment.js';

const TABLE: readonly EnvironmentVariable[] = [
  { variable: 'BATON_X_NAME', option: 'name', kind: 'string' },
  { variable: 'BATON_X_SIZE', option: 'size', kind: 'integer' },
  { variable: 'BATON_X_RATIO', option: 'ratio', kind: 'number' },
  { variable: 'BATON_X_LOUD', option: 'isLoud', kind: 'boolean' },
  { variable: 'BATON_X_INTERVAL', option: 'recovery.interval', kind: 'duration' },
  { variable: 'BATON_X_BATCH', option: 'recovery.batch', kind: 'integer' },
  { variable: 'BATON_X_HOSTS', option: 'hosts', kind: 'list' },
];
const read = (env: Record<string, string | undefined>) => readEnvironment('XModule', env, TABLE);

describe('readEnvironment', () => {
  it('reads each kind, into nested objects where the option has a dot', () => {
    expect(
      read({
        BATON_X_NAME: ' n ',
        BATON_X_SIZE: '-3',
        BATON_X_RATIO: '0.5',
        BATON_X_LOUD: 'false',
        BATON_X_INTERVAL: '30s',
        BATON_X_BATCH: '10',
        BATON_X_HOSTS: 'a, b,,c ,',
        OTHER: 'x',
      }),
    ).toEqual({
      name: 'n',
      size: -3,
      ratio: 0.5,
      isLoud: false,
      recovery: { interval: '30s', batch: 10 },
      hosts: ['a', 'b', 'c'],
    });
  });

  it('takes an empty or blank variable as not set', () => {
    expect(read({ BATON_X_NAME: '', BATON_X_SIZE: '  ', BATON_X_RATIO: undefined })).toEqual({});
  });

  it('reads a duration without unit as milliseconds', () => {
    expect(read({ BATON_X_INTERVAL: '250' })).toEqual({ recovery: { interval: 250 } });
  });

  it('names every variable that cannot be read, what was expected and the text', () => {
    const env = {
      BATON_X_SIZE: '1.5',
      BATON_X_RATIO: '1e309',
      BATON_X_LOUD: 'yes',
      BATON_X_INTERVAL: '5 parsecs',
      BATON_X_BATCH: '9'.repeat(400),
    };
    expect(() => read(env)).toThrow(
      expect.objectContaining({
        code: 'OPTIONS_INVALID',
        subject: 'XModule',
        problems: [
          `BATON_X_SIZE must be a whole number, not '1.5'`,
          `BATON_X_RATIO must be a number, not '1e309'`,
          `BATON_X_LOUD must be true or false, not 'yes'`,
          `BATON_X_INTERVAL must be a duration such as '30s' or '250ms', not '5 parsecs'`,
          `BATON_X_BATCH must be a whole number, not '${'9'.repeat(79)}…'`,
        ],
      }),
    );
  });

  it('takes an option as a whole or in parts, in whichever order they stand in the table', () => {
    const whole: EnvironmentVariable = { variable: 'BATON_X_LIMIT', option: 'limit', kind: 'integer' };
    const part: EnvironmentVariable = { variable: 'BATON_X_LIMIT_MAX', option: 'limit.max', kind: 'integer' };
    const near: EnvironmentVariable = { variable: 'BATON_X_LIMITS', option: 'limits', kind: 'integer' };
    const env = { BATON_X_LIMIT: '1', BATON_X_LIMIT_MAX: '2', BATON_X_LIMITS: '3' };
    const problemsWith = (table: readonly EnvironmentVariable[]) =>
      expect(() => readEnvironment('XModule', env, table)).toThrow(
        expect.objectContaining({
          problems: [`${table[0]?.variable} and ${table[1]?.variable} exclude each other: set one of them`],
        }),
      );
    problemsWith([whole, part, near]);
    problemsWith([part, whole, near]);
    expect(readEnvironment('XModule', { ...env, BATON_X_LIMIT: ' ' }, [whole, part, near])).toEqual({
      limit: { max: 2 },
      limits: 3,
    });
  });

  it('shows no password of a URL in the wrong variable', () => {
    expect(() => read({ BATON_X_SIZE: 'redis://:secret@host' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });

  it('reads any text as its kind or names its variable, and leaves prototypes alone', () => {
    const texts = fc.record(
      Object.fromEntries(TABLE.map(({ variable }) => [variable, fc.oneof(fc.string(), fc.constant('__proto__'))])),
    );
    fc.assert(
      fc.property(texts, (env) => {
        try {
          read(env);
        } catch (error) {
          expect(error).toMatchObject({ code: 'OPTIONS_INVALID' });
        }
        return Object.keys(Object.prototype).length === 0;
      }),
    );
  });
});
