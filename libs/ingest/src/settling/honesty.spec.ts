import type { DocumentOutcome } from './receipt.js';
import { honestOutcome } from './honesty.js';

const accepted: DocumentOutcome = {
  status: 'accepted',
  maybeDuplicate: false,
  alreadyPresent: false,
  attribution: 'document',
};

describe('honestOutcome', () => {
  it('changes nothing without an attempt that got no answer', () => {
    expect(honestOutcome(accepted, undefined)).toBe(accepted);
  });

  it('leaves only maybeDuplicate, rejected and unknown after one', () => {
    const ambiguity = { cause: 'reset' };
    expect(honestOutcome(accepted, ambiguity)).toEqual({ ...accepted, maybeDuplicate: true });
    const rejected: DocumentOutcome = { status: 'discarded', reason: 'rejected' };
    expect(honestOutcome(rejected, ambiguity)).toBe(rejected);
    for (const reason of ['server', 'closed', 'too_large'] as const)
      expect(honestOutcome({ status: 'discarded', reason }, ambiguity)).toEqual({ status: 'unknown', cause: 'reset' });
  });
});
