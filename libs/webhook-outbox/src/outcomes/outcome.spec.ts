import type { Answer } from '../sending/answer.js';
import { type CompleteAnswer, settlementOf } from './outcome.js';

const RULES = { scheduleMs: [5_000, 300_000], retryAfterCapMs: 3_600_000 };
const NOW = Date.UTC(2030, 0, 1);
const middle = () => 0.5;

function answer(status: number, retryAfter?: string): Extract<Answer, { kind: 'answer' }> {
  return { kind: 'answer', status, retryAfter, text: 'words' };
}

function settle(given: CompleteAnswer, attempts = 1, random = middle) {
  return settlementOf(given, attempts, RULES, NOW, random);
}

describe('what becomes of a delivery', () => {
  it.each([200, 201, 202, 204, 299])('%i delivers it', (status) => {
    expect(settle(answer(status))).toEqual({
      state: 'delivered',
      outcome: 'delivered',
      reason: 'answered',
      status,
      error: null,
      retryInMs: 0,
      pauseMs: 0,
      isGone: false,
    });
  });

  it.each([300, 301, 302, 303, 304, 307, 308])('%i fails it: redirects are not followed', (status) => {
    expect(settle(answer(status))).toMatchObject({ state: 'failed', reason: 'redirected', status });
  });

  it.each([400, 401, 403, 404, 405, 410, 413, 422, 451])('%i fails it', (status) => {
    expect(settle(answer(status))).toMatchObject({ state: 'failed', outcome: 'failed', reason: 'answered', status });
  });

  it.each([408, 409, 425, 429, 500, 502, 503, 504, 599])('%i asks for another attempt', (status) => {
    expect(settle(answer(status))).toMatchObject({ state: 'ready', outcome: 'retry', status, retryInMs: 5_000 });
  });

  it('a timeout or a network error asks for another attempt; a refused destination does not', () => {
    expect(settle({ kind: 'timeout' })).toMatchObject({ state: 'ready', reason: 'timeout', status: null });
    expect(settle({ kind: 'network', error: 'reset' })).toMatchObject({
      state: 'ready',
      reason: 'network',
      error: 'reset',
    });
    expect(settle({ kind: 'refused', error: 'inside' })).toMatchObject({
      state: 'failed',
      reason: 'refused-destination',
    });
  });

  it('the schedule is walked, jittered by a fifth either way, and then it is dead', () => {
    expect(settle(answer(500), 1, () => 0).retryInMs).toBeCloseTo(4_000);
    expect(settle(answer(500), 1, () => 1).retryInMs).toBeCloseTo(6_000);
    expect(settle(answer(500), 2).retryInMs).toBe(300_000);
    expect(settle(answer(500), 3)).toMatchObject({ state: 'dead', reason: 'exhausted', status: 500, retryInMs: 0 });
    expect(settle({ kind: 'timeout' }, 4)).toMatchObject({ state: 'dead', reason: 'exhausted' });
  });

  it('Retry-After lengthens the pause, never shortens it, and is capped', () => {
    expect(settle(answer(503, '60')).retryInMs).toBe(60_000);
    expect(settle(answer(503, '1')).retryInMs).toBe(5_000);
    expect(settle(answer(429, '9'.repeat(20))).retryInMs).toBe(3_600_000);
    expect(settle(answer(503, 'Tue, 01 Jan 2030 00:02:00 GMT')).retryInMs).toBe(120_000);
  });

  it('429 and 503 with Retry-After speak of the endpoint, also with the last attempt; other answers do not', () => {
    expect([429, 503, 500, 408].map((status) => settle(answer(status, '60')).pauseMs)).toEqual([60_000, 60_000, 0, 0]);
    expect(settle(answer(429)).pauseMs).toBe(0);
    expect(settle(answer(503, '9'.repeat(20)), 3)).toMatchObject({ state: 'dead', pauseMs: 3_600_000 });
  });

  it('410 says that the endpoint wants nothing any more', () => {
    expect(settle(answer(410))).toMatchObject({ state: 'failed', isGone: true });
    expect(settle(answer(404)).isGone).toBe(false);
  });

  it.each(['-5', '1.5', 'soon', '', 'Mon, 01 Jan 2029 00:00:00 GMT', '2030-01-02'])(
    'a Retry-After of "%s" is as good as none',
    (header) => expect(settle(answer(503, header)).retryInMs).toBe(5_000),
  );

  it.each(['abort-message', 'Abort-Message', ' ABORT-MESSAGE ', 'x, abort-message', 'abort-message, abort-message'])(
    'webhook-delivery: "%s" ends what would be tried again, and nothing else',
    (control) => {
      const ended = { state: 'failed', outcome: 'failed', reason: 'answered', retryInMs: 0, isGone: false };
      expect(settle({ ...answer(503, '60'), control })).toMatchObject({ ...ended, status: 503, error: 'words' });
      expect(settle({ ...answer(500), control }, 3)).toMatchObject(ended);
      expect(settle({ ...answer(200), control })).toMatchObject({ state: 'delivered', isGone: false });
      expect(settle({ ...answer(404), control })).toMatchObject({ state: 'failed', isGone: false });
      expect(settle({ ...answer(503, '60'), control }).pauseMs).toBe(60_000);
    },
  );

  it.each(['disable', 'DISABLE', 'disable,abort-message', 'abort-message , Disable'])(
    'webhook-delivery: "%s" says that the endpoint wants nothing any more, whatever the status',
    (control) => {
      expect(settle({ ...answer(503), control })).toMatchObject({ state: 'failed', isGone: true });
      expect(settle({ ...answer(204), control })).toMatchObject({ state: 'delivered', isGone: true });
      expect(settle({ ...answer(302), control })).toMatchObject({
        state: 'failed',
        reason: 'redirected',
        isGone: true,
      });
    },
  );

  it.each([
    '',
    'abort',
    'disabled',
    'disable-message',
    'abort_message',
    'disable;q=1',
    'true',
    '\u0000disable',
    ','.repeat(500),
  ])('webhook-delivery: "%s" is as good as none', (control) =>
    expect(settle({ ...answer(503), control })).toEqual(settle(answer(503))),
  );
});
