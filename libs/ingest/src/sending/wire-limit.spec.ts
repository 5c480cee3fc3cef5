import {
  afterAccepted,
  afterTooLarge,
  batchBytesUnder,
  currentWireLimit,
  FORGET_AFTER_MS,
  NO_LIMIT,
} from './wire-limit.js';

describe('the learned wire limit', () => {
  it('is half of what was refused, but no less than what went through', () => {
    expect(afterTooLarge(NO_LIMIT, 1_000, 0).maxWireBytes).toBe(500);
    const accepted = afterAccepted(NO_LIMIT, 800, 8_000);
    expect(afterTooLarge(accepted, 1_000, 0).maxWireBytes).toBe(800);
    expect(afterTooLarge(accepted, 700, 0)).toMatchObject({ maxWireBytes: 350, acceptedWireBytes: 0 });
    expect(afterTooLarge(NO_LIMIT, 1, 0).maxWireBytes).toBe(1);
  });

  it('is forgotten after ten minutes without another 413', () => {
    const limit = afterTooLarge(NO_LIMIT, 1_000, 5);
    expect(currentWireLimit(limit, 4 + FORGET_AFTER_MS)).toBe(500);
    expect(currentWireLimit(limit, 5 + FORGET_AFTER_MS)).toBe(Infinity);
  });

  it('sizes new batches by the last compression', () => {
    const limit = afterAccepted(afterTooLarge(NO_LIMIT, 1_000, 0), 100, 1_000);
    expect(batchBytesUnder(limit, 100_000, 1)).toBe(5_000);
    expect(batchBytesUnder(limit, 2_000, 1)).toBe(2_000);
    expect(batchBytesUnder(NO_LIMIT, 2_000, 1)).toBe(2_000);
  });
});
