import { reachedLast } from './reached-last.js';

const turns = (...ids: string[]) => ids.map((endpointId) => ({ endpointId }));

describe('the endpoint that was reached last', () => {
  it('is the highest before the circle closes, in whatever order they are given', () => {
    expect(reachedLast(turns('d', 'c', 'e', 'c'), 'b')).toBe('e');
  });

  it('is the highest of those from the beginning once the circle goes round', () => {
    expect(reachedLast(turns('a', 'e', 'b', 'd'), 'c')).toBe('b');
    expect(reachedLast(turns('d', 'c', 'a'), 'c')).toBe('c');
  });

  it('is where the way began when nobody had a turn', () => {
    expect(reachedLast([], 'c')).toBe('c');
  });
});
