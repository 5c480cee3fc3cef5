import { decideHealth, type OutboxFacts, type RelayFacts } from './outbox-health.js';

const RELAY: RelayFacts = { isRunning: true, sinceLookMs: 10, writesFailingMs: undefined, unusableEndpoints: 0 };

function health(relay: Partial<RelayFacts> | undefined, facts: Partial<OutboxFacts> = {}): string {
  const decided = decideHealth({
    listener: 'off',
    pollIntervalMs: 1_000,
    lagMs: 86_400_000,
    haltedLines: 0,
    relay: relay && { ...RELAY, ...relay },
    ...facts,
  });
  return decided.state === 'up' ? `up ${decided.mode}` : `${decided.state} ${decided.reason}`;
}

describe('decideHealth', () => {
  it('is up whatever the lag, and tells how deliveries are found', () => {
    expect(health({})).toBe('up polling');
    expect(health({}, { listener: 'listening' })).toBe('up listening');
    expect(health(undefined, { listener: 'off' })).toBe('up producing');
  });

  it('is degraded when a hint is lost, writes fail, or secrets do not open', () => {
    expect(health({}, { listener: 'lost' })).toBe('degraded listener_lost');
    expect(health({ writesFailingMs: 0 }, { listener: 'lost' })).toBe('degraded writes_failing');
    expect(health({ unusableEndpoints: 2 })).toBe('degraded endpoints_unusable');
  });

  it('is down when the relay does not do what the role says', () => {
    expect(health({ isRunning: false })).toBe('down relay_stopped');
    expect(health({ sinceLookMs: 29_999 })).toBe('up polling');
    expect(health({ sinceLookMs: 30_000 })).toBe('down relay_stalled');
    expect(health({ sinceLookMs: 30_000 }, { pollIntervalMs: 20_000 })).toBe('up polling');
    expect(health({ sinceLookMs: 60_000 }, { pollIntervalMs: 20_000 })).toBe('down relay_stalled');
    expect(health({ writesFailingMs: 30_000 })).toBe('down relay_stalled');
  });
});
