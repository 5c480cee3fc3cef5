import { matchesType } from './type-patterns.js';

describe('matchesType', () => {
  it.each([
    ['*', 'a.b', true],
    ['a.b', 'a.b', true],
    ['a.b', 'a.bc', false],
    ['a_b', 'axb', false],
    ['a.*', 'a.b.c', true],
    ['a.*', 'a.', true],
    ['a.*', 'a', false],
    ['*.done', 'run.done', true],
    ['*.done', 'done', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'a.bb.c', true],
    ['a*b*c', 'acb', false],
    ['a*bc*c', 'abc', false],
    ['a**c', 'abc', true],
    ['**', '', true],
  ])('finds that %s and %s match: %s', (pattern, type, isMatch) => {
    expect(matchesType([pattern], type)).toBe(isMatch);
    expect(matchesType(['never', pattern], type)).toBe(isMatch);
  });

  it('finds nothing without a pattern', () => {
    expect(matchesType([], 'a')).toBe(false);
  });
});
