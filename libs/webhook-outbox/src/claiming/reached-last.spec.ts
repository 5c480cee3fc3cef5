import { reachedLast } from './reached-last.js';

describe('the endpoint that was reached last', () => {
  it('is the highest before the circle closes, in whatever order they are given', () => {
    expect(reachedLast(['d', 'c', 'e', 'c'], 'b')).toBe('e');
  });

  it('is the highest of those from the beginning once the circle goes round', () => {
    expect(reachedLast(['a', 'e', 'b', 'd'], 'c')).toBe('b');
    expect(reachedLast(['d', 'c', 'a'], 'c')).toBe('c');
  });

  it('is nobody when nobody had a turn', () => {
    expect(reachedLast([], 'c')).toBeUndefined();
  });
});
