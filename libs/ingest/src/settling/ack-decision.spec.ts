import { ackDecision } from './ack-decision.js';
import { IngestError, IngestNotConfirmedError } from '../ingest.errors.js';
import type { DiscardReason } from './receipt.js';

const discarded = (...reasons: DiscardReason[]) =>
  new IngestError(
    reasons[0] ?? 'server',
    reasons.map((reason, index) => ({ index, reason })),
  );

describe('ackDecision', () => {
  it('acks what succeeded', () => expect(ackDecision()).toBe('ack'));

  it.each(['encode', 'invalid', 'too_large', 'rejected'] as const)('dead-letters %s', (reason) =>
    expect(ackDecision(discarded(reason, reason))).toBe('dead_letter'),
  );

  it.each(['buffer_full', 'aborted', 'closed', 'server'] as const)('nacks %s', (reason) =>
    expect(ackDecision(discarded(reason))).toBe('nack'),
  );

  it('nacks mixed reasons, what is not confirmed, and anything else', () => {
    expect(ackDecision(discarded('rejected', 'server'))).toBe('nack');
    expect(ackDecision(new IngestNotConfirmedError('x'))).toBe('nack');
    for (const error of [new Error('x'), null, 'x', { code: 'INGEST_DISCARDED' }])
      expect(ackDecision(error)).toBe('nack');
  });
});
