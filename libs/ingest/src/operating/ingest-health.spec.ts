import { decideHealth, DENIAL_HOLDS_MS, type HealthFacts } from './ingest-health.js';

const FINE: HealthFacts = {
  isClosing: false,
  pausedMs: 0,
  waitingDocs: 0,
  stalledMs: 0,
  isFailing: false,
  isTrying: false,
  denied: undefined,
};

/** `state reason` with these facts; stalled after 1 s. */
function health(facts: Partial<HealthFacts>): string {
  const decided = decideHealth({ ...FINE, ...facts }, 1_000);
  return decided.state === 'up' ? 'up' : `${decided.state} ${decided.reason}`;
}

describe('decideHealth', () => {
  it('is down only when documents do not get through', () => {
    expect(health({})).toBe('up');
    expect(health({ stalledMs: 999 })).toBe('up');
    expect(health({ stalledMs: 1_000 })).toBe('down stalled');
    expect(health({ isClosing: true })).toBe('down closed');
    expect(health({ isFailing: true })).toBe('degraded failing');
    expect(health({ pausedMs: 1, isFailing: true })).toBe('degraded paused');
    expect(health({ waitingDocs: 5 })).toBe('degraded full');
  });

  it('lets a denial hold for a while and then the next documents find out', () => {
    const denied = (agoMs: number) => ({ isFailing: true, denied: { status: 403, agoMs } });
    expect(health(denied(DENIAL_HOLDS_MS - 1))).toBe('down denied');
    expect(health(denied(DENIAL_HOLDS_MS))).toBe('degraded denied');
    expect(health({ ...denied(DENIAL_HOLDS_MS), stalledMs: 5_000 })).toBe('down stalled');
  });

  it('is down as long as documents wait until they are wanted again', () => {
    const denied = { status: 401, agoMs: 10 * DENIAL_HOLDS_MS };
    expect(health({ denied, isTrying: true })).toBe('down denied');
    expect(health({ denied, isTrying: false })).toBe('degraded denied');
  });

  it('tells the worst first', () => {
    const everything = { isFailing: true, pausedMs: 10, waitingDocs: 3, stalledMs: 1_000 };
    expect(health(everything)).toBe('down stalled');
    expect(health({ ...everything, isClosing: true })).toBe('down closed');
    expect(health({ ...everything, stalledMs: 0 })).toBe('degraded paused');
  });
});
