import fc from 'fast-check';
import { PartitionKeys } from '../partitions/partition-keys.js';
import { keySlot } from './key-slot.js';

describe('keySlot', () => {
  it.each([
    ['123456789', 12_739],
    ['{user1000}.following', 3443],
    ['foo{}{bar}', 8363],
    ['', 0],
  ])('puts %j where the servers put it', (key, slot) => {
    expect(keySlot(key)).toBe(slot);
  });

  it('gives all keys of a partition one slot, whatever their data streams are called', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(1023), (dataStream, dedupeId, partition) => {
        const keys = new PartitionKeys('runs', partition, 1024, 'dlq');
        const all = [
          ...keys.fixed,
          keys.lease(dataStream),
          keys.waiting(dataStream),
          keys.dedupe(dataStream, dedupeId),
        ];
        expect(new Set(all.map(keySlot)).size).toBe(1);
      }),
    );
  });
});
