import { eventText } from './event-text.js';
import { timeOrderedUuid } from './time-ordered-uuid.js';

const MAX = 1_024;

describe('eventText', () => {
  it('fixes type, timestamp and data, byte for byte', () => {
    const { body, tenant } = eventText({ type: 'run.done', data: { b: 1, a: 'ä' } }, 0, MAX);
    expect(body).toBe('{"type":"run.done","timestamp":"1970-01-01T00:00:00.000Z","data":{"b":1,"a":"ä"}}');
    expect(tenant).toBe('');
  });

  it('tells a repetition from a conflict, whenever it comes', () => {
    const hash = (type: string, data: unknown, now: number) => eventText({ type, data }, now, MAX).contentHash;
    expect(hash('a', { x: 1 }, 0).equals(hash('a', { x: 1 }, 5_000))).toBe(true);
    expect(hash('a', { x: 1 }, 0).equals(hash('a', { x: 2 }, 0))).toBe(false);
    expect(hash('a', 1, 0).equals(hash('b', 1, 0))).toBe(false);
  });

  it('counts bytes, not characters', () => {
    expect(() => eventText({ type: 'a', data: 'ä'.repeat(480) }, 0, MAX)).not.toThrow();
    expect(() => eventText({ type: 'a', data: 'ä'.repeat(512) }, 0, MAX)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }),
    );
  });
});

describe('timeOrderedUuid', () => {
  it('sorts by time and is a version 7 UUID', () => {
    const early = timeOrderedUuid(1_000);
    const late = timeOrderedUuid(2_000);
    expect(early < late).toBe(true);
    expect(early).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timeOrderedUuid(1_000)).not.toBe(early);
  });
});
