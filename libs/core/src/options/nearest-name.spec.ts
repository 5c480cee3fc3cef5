import { nearestName, unknownName } from './nearest-name.js';

const known = ['maxBodyBytes', 'pollInterval', 'hints', 'url', 'id'];

describe('nearestName', () => {
  it.each<[string, string | undefined]>([
    ['maxBodyByte', 'maxBodyBytes'],
    ['maxbodybytes', 'maxBodyBytes'],
    ['max_body_bytes', 'maxBodyBytes'],
    ['maxBytes', 'maxBodyBytes'],
    ['polInterval', 'pollInterval'],
    ['hint', 'hints'],
    ['ulr', 'url'],
    ['ids', 'id'],
    ['xy', undefined],
    ['retention', undefined],
    ['__proto__', undefined],
    ['', undefined],
  ])('for %s is %s', (given, expected) => {
    expect(nearestName(given, known)).toBe(expected);
  });

  it('is nothing when nothing is known', () => {
    expect(nearestName('url', [])).toBeUndefined();
  });
});

describe('unknownName', () => {
  it('suggests the nearest name where there is one', () => {
    expect(unknownName('option', 'hint', known)).toBe('unknown option hint; did you mean hints?');
    expect(unknownName('variable', 'BATON_FOO', known)).toBe('unknown variable BATON_FOO');
  });
});
