import { partitionOf } from './partition-of.js';

/** The published test vectors of FNV-1a, 32 bit. */
it.each([
  ['', 0x811c9dc5],
  ['a', 0xe40c292c],
  ['foobar', 0xbf9cf968],
])('hashes %j as everybody else does', (name, hash) => expect(partitionOf(name, 2 ** 32)).toBe(hash));

it('is 0 with one partition, and spreads over many', () => {
  expect(partitionOf('anything', 1)).toBe(0);
  const used = new Set(Array.from({ length: 200 }, (_, i) => partitionOf(`stream-${i}`, 8)));
  expect(used.size).toBe(8);
});
