import type { DocumentOutcome } from './receipt.js';
import { callError } from './call-error.js';
import { LoneCall } from './lone-call.js';
import { TrackedCall } from './tracked-call.js';

const accepted: DocumentOutcome = {
  status: 'accepted',
  maybeDuplicate: false,
  alreadyPresent: false,
  attribution: 'document',
};
const discarded = (reason: 'server' | 'aborted'): DocumentOutcome => ({ status: 'discarded', reason });

describe('TrackedCall', () => {
  it('settles each document once, whatever comes later', async () => {
    const call = new TrackedCall(2, undefined, undefined);
    expect(call.settle(0, accepted)).toBe(true);
    expect(call.settle(0, discarded('server'))).toBe(false);
    expect(call.settled).toBe(false);
    expect(call.settle(1, accepted)).toBe(true);
    expect(call.settle(2, accepted)).toBe(false);
    expect(await call.outcomes).toEqual([accepted, accepted]);
    await call.wait({ signal: AbortSignal.abort() });
  });
});

describe('LoneCall', () => {
  it('settles once, whatever comes later', async () => {
    const call = new LoneCall(undefined);
    expect(call.settle(0, accepted)).toBe(true);
    expect(call.settle(0, discarded('server'))).toBe(false);
    await call.settling;
    const refused = new LoneCall(undefined);
    refused.settle(0, discarded('server'));
    expect(refused.settle(0, accepted)).toBe(false);
    await expect(refused.settling).rejects.toMatchObject({ code: 'INGEST_DISCARDED', reason: 'server' });
  });
});

describe('callError', () => {
  const unknown: DocumentOutcome = { status: 'unknown', cause: 'reset' };

  it('ends in the order: its own signal, unknown, discarded, success', () => {
    const aborted = AbortSignal.abort('why');
    expect(callError([unknown, discarded('aborted')], aborted)).toMatchObject({
      code: 'INGEST_NOT_CONFIRMED',
      cause: 'why',
    });
    expect(callError([discarded('server'), unknown], undefined)).toMatchObject({
      code: 'INGEST_NOT_CONFIRMED',
      cause: 'reset',
    });
    expect(callError([accepted, discarded('server')], undefined)).toMatchObject({
      code: 'INGEST_DISCARDED',
      failures: [{ index: 1, reason: 'server' }],
    });
    expect(callError([accepted], aborted)).toBeUndefined();
  });
});
