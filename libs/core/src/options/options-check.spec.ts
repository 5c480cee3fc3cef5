import { OptionsInvalidError } from '../errors.js';
import { OptionsCheck } from './options-check.js';

interface Options {
  readonly interval?: string | number;
  readonly size?: number;
  readonly ratio?: number;
  readonly hints?: 'on' | 'off';
  readonly isLoud?: boolean;
  readonly schema?: string;
  readonly url?: string;
  readonly key?: string;
  readonly clock?: () => number;
}

const KNOWN = ['interval', 'size', 'ratio', 'hints', 'isLoud', 'schema', 'url', 'key', 'clock'] as const;
const check = (options: unknown) => new OptionsCheck<Options>('TestModule', options as Options | undefined, KNOWN);

describe('OptionsCheck', () => {
  it('gives the fallbacks when nothing was given', () => {
    for (const nothing of [undefined, {}, { interval: undefined, size: undefined }]) {
      const given = check(nothing);
      expect(given.duration('interval', '30s')).toBe(30_000);
      expect(given.integer('size', 7)).toBe(7);
      expect(given.number('ratio', 0.5)).toBe(0.5);
      expect(given.oneOf('hints', 'on', ['on', 'off'])).toBe('on');
      expect(given.boolean('isLoud', false)).toBe(false);
      expect(given.string('schema', 'baton')).toBe('baton');
      expect(given.secret('key', 'dev-key')).toBe('dev-key');
      expect(given.function('clock')).toBeUndefined();
      expect(() => given.finish()).not.toThrow();
    }
  });

  it('gives what was given', () => {
    const clock = () => 1;
    const given = check({
      interval: '2m',
      size: 9,
      ratio: 0.25,
      hints: 'off',
      isLoud: true,
      schema: 's',
      url: 'http://x/',
      key: 'k',
      clock,
    });
    expect(given.duration('interval', 1)).toBe(120_000);
    expect(given.integer('size', 1)).toBe(9);
    expect(given.number('ratio', 1)).toBe(0.25);
    expect(given.oneOf('hints', 'on', ['on', 'off'])).toBe('off');
    expect(given.boolean('isLoud', false)).toBe(true);
    expect(given.string('schema')).toBe('s');
    expect(given.url('url', ['http:', 'https:'])).toBe('http://x/');
    expect(given.secret('key')).toBe('k');
    expect(given.function('clock')).toBe(clock);
    expect(given.problems).toEqual([]);
  });

  it.each([null, [], 'text', 7, () => undefined])('refuses %p in place of an object', (options) => {
    const given = check(options);
    expect(given.duration('interval', 5)).toBe(5);
    expect(given.problems).toHaveLength(1);
    expect(given.problems[0]).toMatch(/^options must be an object, not /);
  });

  it('refuses unknown keys, also __proto__, and names the nearest known one', () => {
    const given = check(JSON.parse('{ "intervall": 1, "__proto__": { "size": -5 }, "constructor": 1, "nonsense": 1 }'));
    expect(given.problems).toEqual([
      'unknown option intervall; did you mean interval?',
      'unknown option __proto__',
      'unknown option constructor',
      'unknown option nonsense',
    ]);
    expect(given.integer('size', 3)).toBe(3);
  });

  it('refuses null, which is not the same as not given', () => {
    const given = check({
      interval: null,
      size: null,
      ratio: null,
      hints: null,
      isLoud: null,
      schema: null,
      clock: null,
    });
    given.duration('interval', 1);
    given.integer('size', 1);
    given.number('ratio', 1);
    given.oneOf('hints', 'on', ['on', 'off']);
    given.boolean('isLoud', true);
    given.string('schema', 'x');
    given.function('clock');
    expect(given.problems).toHaveLength(7);
    for (const problem of given.problems) expect(problem).toMatch(/not null$/);
  });

  it.each([NaN, Infinity, -Infinity, Number('1e309'), 1.5, 2 ** 53, '7', true, {}, 7n])(
    '%p is no whole number',
    (size) => {
      const given = check({ size });
      expect(given.integer('size', 3)).toBe(3);
      expect(given.problems[0]).toMatch(/^size must be a whole number, not /);
    },
  );

  it.each([NaN, Infinity, Number('1e309'), '0.5', [], null])('%p is no number', (ratio) => {
    const given = check({ ratio });
    expect(given.number('ratio', 3)).toBe(3);
    expect(given.problems[0]).toMatch(/^ratio must be a number, not /);
  });

  it.each([NaN, -1, '5 parsecs', '', {}, Number('1e309')])('%p is no duration', (interval) => {
    const given = check({ interval });
    expect(given.duration('interval', '1s')).toBe(1_000);
    expect(given.problems[0]).toMatch(/^interval must be a duration such as '30s' or a number of milliseconds, not /);
  });

  it('names the bound, its unit and the value', () => {
    const given = check({ interval: '10ms', size: 101, ratio: -0.1 });
    given.duration('interval', '1s', { min: 250 });
    given.integer('size', 10, { min: 1, max: 100 });
    given.number('ratio', 0.5);
    expect(given.problems).toEqual([
      'interval must be at least 250 ms, not 10 ms',
      'size must be at most 100, not 101',
      'ratio must be at least 0, not -0.1',
    ]);
  });

  it('requires a text or a URL that has no fallback', () => {
    const given = check({ schema: '' });
    expect(given.string('schema')).toBe('');
    given.string('key');
    given.secret('key');
    given.url('url', ['http:']);
    expect(given.problems).toEqual([
      `schema must be a non-empty string, not ''`,
      'key is required',
      'key is required',
      'url is required',
    ]);
  });

  it.each([
    'postgres//user:secret@host',
    'mysql://user:secret@host/db',
    'postgres://user:secret@[host',
    { url: 'secret' },
    ['secret'],
  ])('never shows a URL, wrong as it may be (%#)', (url) => {
    const given = check({ url });
    given.url('url', ['postgres:', 'postgresql:']);
    expect(given.problems).toEqual(['url must be a URL that starts with postgres:// or postgresql://']);
  });

  it.each([12345, ['secret'], { key: 'secret' }, '', null])('never shows what a secret reader got (%#)', (key) => {
    const given = check({ key });
    given.secret('key');
    expect(given.problems).toEqual(['key must be a non-empty string']);
  });

  it('shows no password of a URL that landed in the wrong option, and nothing of an object', () => {
    const given = check({
      size: 'postgres://user:secret@host/db',
      hints: { token: 'secret' },
      schema: ['secret'],
      interval: 'https://host/?token=secret',
    });
    given.integer('size', 1);
    given.oneOf('hints', 'on', ['on', 'off']);
    given.string('schema');
    given.duration('interval', 1);
    expect(given.problems).toHaveLength(4);
    expect(given.problems.join()).not.toContain('secret');
  });

  it('reports everything at once, with rules between options, under the name of what is configured', () => {
    const given = check({ size: 'x', interval: 'y' });
    given.integer('size', 1);
    given.duration('interval', 1);
    given.rule(true, 'holds');
    given.rule(false, 'size must not exceed ratio');
    const problems = [
      `size must be a whole number, not 'x'`,
      `interval must be a duration such as '30s' or a number of milliseconds, not 'y'`,
      'size must not exceed ratio',
    ];
    expect(() => given.finish()).toThrow(OptionsInvalidError);
    expect(() => given.finish()).toThrow(
      expect.objectContaining({ code: 'OPTIONS_INVALID', subject: 'TestModule', problems }),
    );
  });
});
