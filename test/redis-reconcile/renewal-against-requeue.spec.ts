import { allInterleavings, playInterleavings } from './support/interleavings.js';
import { useByHand } from './support/partition-by-hand.js';

/** All of them are played in test/slow. No multiple of what they repeat after. */
const EVERY = 11;

describe('renewing a lease against giving its work away', () => {
  const { hand } = useByHand();

  it('is decided in one step: no order of steps makes two owners, loses the work or doubles it (R5)', async () => {
    const some = allInterleavings().filter((_, i) => i % EVERY === 0);
    expect((await playInterleavings(hand, some)).slice(0, 3)).toEqual([]);
  });
});
