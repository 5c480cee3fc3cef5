import { allInterleavings, playInterleavings } from '../redis-reconcile/support/interleavings.js';
import { useByHand } from '../redis-reconcile/support/partition-by-hand.js';

const TIMEOUT_MS = 180_000;

describe('renewing a lease against giving its work away', () => {
  const { hand } = useByHand();

  it(
    'is decided in one step: none of 10 080 interleavings makes two owners, loses the work or doubles it (R5)',
    async () => {
      const all = allInterleavings();
      expect(all).toHaveLength(10_080);
      expect((await playInterleavings(hand, all)).slice(0, 3)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
