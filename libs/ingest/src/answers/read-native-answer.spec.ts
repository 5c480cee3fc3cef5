import { readNativeAnswer } from './read-native-answer.js';

function answer(status: number, body: unknown = '', retryAfter?: string) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readNativeAnswer({ kind: 'answer', status, retryAfter, body: Buffer.from(text), isCut: false }, 3, 0);
}

const counts = (processed: unknown, ingested?: unknown, rejected?: unknown, failures?: unknown) => ({
  num_docs_for_processing: processed,
  num_ingested_docs: ingested,
  num_rejected_docs: rejected,
  parse_failures: failures,
});

describe('readNativeAnswer', () => {
  it.each([
    [413, 'too_large'],
    [400, 'refused'],
    [409, 'refused'],
    [422, 'refused'],
    [301, 'denied'],
    [401, 'denied'],
    [403, 'denied'],
    [404, 'denied'],
    [405, 'denied'],
    [411, 'denied'],
    [415, 'denied'],
    [501, 'denied'],
    [408, 'retry'],
    [425, 'retry'],
    [429, 'retry'],
    [500, 'retry'],
    [503, 'retry'],
  ])('reads %i as %s', (status, kind) => {
    expect(answer(status)).toMatchObject({ kind });
    if (kind === 'retry') expect(answer(status)).toMatchObject({ isAmbiguous: false });
  });

  it.each([201, 204, 502, 504])('calls %i ambiguous', (status) => {
    expect(answer(status)).toMatchObject({ kind: 'retry', isAmbiguous: true });
  });

  it('heeds Retry-After on 429 and 503 only', () => {
    expect(answer(429, '', '2')).toMatchObject({ retryAfterMs: 2_000 });
    expect(answer(500, '', '2')).toMatchObject({ retryAfterMs: undefined });
  });

  it.each([[''], ['ok'], [{}], [counts(3)], [counts(3, 3, 0)], [null]])('accepts %p', (body) => {
    expect(answer(200, body)).toEqual({ kind: 'accepted', rejected: 0, failures: [] });
  });

  it('reads what was rejected', () => {
    const failure = { reason: 'invalid_schema', message: 'no', document: '{}' };
    expect(answer(200, counts(3, 2, 1, [failure, null].slice(0, 1)))).toEqual({
      kind: 'accepted',
      rejected: 1,
      failures: [failure],
    });
    expect(answer(200, counts(3, undefined, 3))).toMatchObject({ kind: 'accepted', rejected: 3 });
  });

  it.each([
    ['{"num_docs_for'],
    [counts(2)],
    [counts(4)],
    [counts('3')],
    [counts(3, 2, 0)],
    [counts(3, 3, 1)],
    [counts(3, -1, 4)],
    [counts(3, 1.5, 1.5)],
    [counts(3, 2, 1, [{}, {}])],
  ])('takes %p for ambiguous, since it cannot be the answer', (body) => {
    expect(answer(200, body)).toMatchObject({ kind: 'retry', isAmbiguous: true });
  });

  it('takes what never came as ambiguous when it was sent, and as certain when not', () => {
    for (const wasSent of [true, false])
      expect(readNativeAnswer({ kind: 'no_answer', wasSent, cause: 'x' }, 1, 0)).toMatchObject({
        isAmbiguous: wasSent,
      });
  });
});
