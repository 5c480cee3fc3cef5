import * as fc from 'fast-check';
import { readBulkAnswer } from './read-bulk-answer.js';
import type { ItemVerdict, Reading } from './reading.js';

function read(body: unknown, { size = 3, hasIds = false, status = 200 } = {}): Reading {
  const text = typeof body === 'string' ? body : (JSON.stringify(body) ?? 'undefined');
  const answer = { kind: 'answer', status, retryAfter: undefined, body: Buffer.from(text), isCut: false } as const;
  return readBulkAnswer(answer, size, 0, hasIds);
}

const item = (status: unknown, error?: unknown) => ({ create: { _index: 'logs', _id: 'a', status, error } });
const answerOf = (...items: readonly unknown[]) => ({ took: 1, errors: false, items });
const failing = (...items: readonly unknown[]) => ({ took: 1, errors: true, items });

/** Of the item after a good one and before another. */
function verdict(status: number, error?: unknown, hasIds = false): ItemVerdict | undefined {
  const reading = read(failing(item(201), item(status, error), item(201)), { hasIds });
  if (reading.kind !== 'judged') throw new Error(`read as ${reading.kind}`);
  expect([reading.items.length, reading.items[0], reading.items[2]]).toEqual([3, TAKEN, TAKEN]);
  return reading.items[1];
}

const TAKEN = { kind: 'accepted', alreadyPresent: false };
const ACCEPTED = { kind: 'accepted', rejected: 0, failures: [] };
const AMBIGUOUS = { kind: 'retry', isAmbiguous: true, retryAfterMs: undefined };

describe('readBulkAnswer', () => {
  it('accepts what was created, updated or taken under whatever name the item has', () => {
    expect(read(answerOf(item(201), { index: { status: 200, error: null } }, { anything: { status: 202 } }))).toEqual(
      ACCEPTED,
    );
  });

  it('takes a conflict for a document that is there when documents have ids, and for a rejection when not', () => {
    const error = { type: 'version_conflict_engine_exception', reason: 'it exists' };
    expect(verdict(409, error, true)).toEqual({ kind: 'accepted', alreadyPresent: true });
    expect(verdict(409, error)).toEqual({ kind: 'rejected', reason: error.type, message: error.reason });
  });

  it.each([400, 402, 405, 406, 410, 413, 415, 418, 422, 499])('rejects the document of an item with %i', (status) => {
    expect(verdict(status, { type: 'some_exception', reason: 'bad' })).toEqual({
      kind: 'rejected',
      reason: 'some_exception',
      message: 'bad',
    });
  });

  it.each([
    [429, false],
    [503, false],
    [408, true],
    [500, true],
    [502, true],
    [504, true],
    [507, true],
    [302, true],
  ])('retries the document of an item with %i, ambiguous: %p', (status, isAmbiguous) => {
    expect(verdict(status, { type: 'some_exception', reason: 'busy' })).toMatchObject({
      kind: 'retry',
      isAmbiguous,
      cause: { message: `the server answered ${status} for a document: some_exception: busy` },
    });
  });

  it.each([
    [401, 'security_exception'],
    [403, 'cluster_block_exception'],
    [404, 'index_not_found_exception'],
    [400, 'invalid_index_name_exception'],
    [400, 'index_closed_exception'],
  ])('takes %i %s for no fault of the document', (status, type) => {
    expect(verdict(status, { type, reason: 'no' })).toMatchObject({ kind: 'denied', status });
  });

  it('says once that every document was denied, with the first reason', () => {
    const reading = read(failing(item(404, { type: 'a', reason: 'b' }), item(404), item(403)));
    expect(reading).toMatchObject({
      kind: 'denied',
      status: 404,
      cause: { message: expect.stringMatching(/: a: b$/) },
    });
    expect(read(failing(item(404), item(400), item(404)))).toMatchObject({ kind: 'judged' });
  });

  it('reads an error that is a text, incomplete, or missing', () => {
    expect(verdict(400, 'too odd')).toEqual({ kind: 'rejected', reason: 'status 400', message: 'too odd' });
    expect(verdict(400, { type: 'odd' })).toEqual({ kind: 'rejected', reason: 'odd', message: '' });
    expect(verdict(400, { type: 7, reason: [] })).toEqual({ kind: 'rejected', reason: 'status 400', message: '' });
    expect(verdict(400)).toEqual({ kind: 'rejected', reason: 'status 400', message: '' });
    expect(verdict(400, 'x'.repeat(9_999))).toMatchObject({ message: 'x'.repeat(500) });
  });

  it('takes an error beside a success for ambiguous, for that document alone', () => {
    expect(verdict(201, { type: 'odd', reason: 'contradiction' })).toMatchObject({ kind: 'retry', isAmbiguous: true });
  });

  it.each([
    ['fewer items', answerOf(item(201), item(201))],
    ['more items', answerOf(item(201), item(201), item(201), item(201))],
    ['no items', answerOf()],
    ['items that are none', { took: 1, errors: false }],
    ['an item without a key', answerOf(item(201), {}, item(201))],
    ['an item with two keys', answerOf(item(201), { ...item(201), index: { status: 201 } }, item(201))],
    ['an item that is a list', answerOf(item(201), [{ status: 201 }], item(201))],
    ['an item that is null', answerOf(item(201), null, item(201))],
    ['an item of nothing', answerOf(item(201), { create: null }, item(201))],
    ['an item without a status', answerOf(item(201), item(undefined), item(201))],
    ['a text for a status', answerOf(item(201), item('201'), item(201))],
    ['a status that is none', answerOf(item(201), item(20.1), item(201))],
    ['an interim status', answerOf(item(201), item(100), item(201))],
    ['a status beyond all', answerOf(item(201), item(600), item(201))],
    ['errors that it does not show', failing(item(201), item(201), item(201))],
    ['nothing', ''],
    ['words', 'ok'],
    ['half of itself', JSON.stringify(answerOf(item(201), item(201), item(201))).slice(0, -2)],
    ['a list', [item(201), item(201), item(201)]],
    ['null', 'null'],
  ])('takes an answer with %s for ambiguous', (_what, body) => {
    expect(read(body)).toMatchObject(AMBIGUOUS);
  });

  it('says what an answer without items may come from', () => {
    expect(read(answerOf())).toMatchObject({ cause: { message: expect.stringContaining('index name') } });
  });

  it.each([
    [400, { kind: 'refused', status: 400, message: 'illegal_argument_exception: Malformed action' }],
    [401, { kind: 'denied' }],
    [413, { kind: 'too_large' }],
    [429, { kind: 'retry', isAmbiguous: false }],
    [502, { kind: 'retry', isAmbiguous: true }],
    [503, { kind: 'retry', isAmbiguous: false }],
    [201, { kind: 'retry', isAmbiguous: true }],
  ])('reads %i of a whole request as the native route does', (status, reading) => {
    const error = { type: 'illegal_argument_exception', reason: 'Malformed action' };
    expect(read({ status, error }, { status })).toMatchObject(reading);
  });

  it('reads one more item or one less as ambiguous, wherever the answer is cut', () => {
    const whole = JSON.stringify(answerOf(item(201), item(201), item(201)));
    for (let end = 0; end < whole.length; end++) expect(read(whole.slice(0, end))).toMatchObject(AMBIGUOUS);
    expect(read(whole)).toEqual(ACCEPTED);
  });

  it('reads 100 000 items of failures without an error for each', () => {
    const items = Array.from({ length: 100_000 }, (_, i) => item(429, { type: 'busy', reason: `operation ${i}` }));
    const reading = read(failing(...items), { size: items.length });
    if (reading.kind !== 'judged') throw new Error(reading.kind);
    const causes = new Set(reading.items.map((one) => (one.kind === 'retry' ? one.cause : undefined)));
    expect([reading.items.length, causes.size]).toEqual([100_000, 101]);
  });
});

describe('readBulkAnswer, whatever comes', () => {
  const statuses = fc.oneof(fc.constantFrom(200, 201, 400, 409, 429, 500), fc.integer(), fc.jsonValue());
  const told = fc.record({ status: statuses, error: fc.jsonValue() }, { requiredKeys: [] });
  const items = fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant({ create: { status: 201 } }) },
      { weight: 1, arbitrary: fc.dictionary(fc.string(), told, { maxKeys: 2 }) },
      { weight: 1, arbitrary: fc.jsonValue() },
    ),
    { maxLength: 4 },
  );
  const answers = fc.oneof(
    fc.record(
      { took: fc.jsonValue(), errors: fc.oneof(fc.boolean(), fc.jsonValue()), items },
      { requiredKeys: ['items'] },
    ),
    fc.jsonValue(),
  );

  /** Said in other words than the code: an honest server, the right number of documents, and each of them taken. */
  function isComplete(text: string, size: number): boolean {
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      return false;
    }
    const given = (answer as { items?: unknown; errors?: unknown } | null) ?? {};
    if (!Array.isArray(given.items) || given.items.length !== size || given.errors === true) return false;
    return given.items.every((one: unknown) => {
      if (typeof one !== 'object' || one === null || Array.isArray(one) || Object.keys(one).length !== 1) return false;
      const [value] = Object.values(one) as ({ status?: unknown; error?: unknown } | null)[];
      const status = typeof value === 'object' ? value?.status : undefined;
      return (
        Number.isInteger(status) && Number(status) >= 200 && Number(status) < 300 && (value?.error ?? null) === null
      );
    });
  }

  it('accepts exactly the complete answers of the right count, whatever the JSON', () => {
    fc.assert(
      fc.property(answers, fc.integer({ min: 1, max: 4 }), fc.boolean(), (answer, size, hasIds) => {
        const text = JSON.stringify(answer);
        expect(read(text, { size, hasIds }).kind === 'accepted').toBe(isComplete(text, size));
      }),
      { numRuns: 3_000 },
    );
  });

  it('accepts exactly those also when bytes of the answer are lost, changed or doubled', () => {
    const good = (size: number) => JSON.stringify(answerOf(...Array.from({ length: size }, () => item(201))));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        fc.nat({ max: 40 }),
        fc.string({ maxLength: 6 }),
        (sent, answered, at, length, inserted) => {
          const text = good(answered);
          const from = at % text.length;
          const spoilt = text.slice(0, from) + inserted + text.slice(from + length);
          expect(read(spoilt, { size: sent }).kind === 'accepted').toBe(isComplete(spoilt, sent));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('never accepts bytes that are no text, or an answer that was cut off', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const answer = { kind: 'answer', status: 200, retryAfter: undefined, body: Buffer.from(bytes) } as const;
        expect(readBulkAnswer({ ...answer, isCut: false }, 1, 0, true)).toMatchObject(AMBIGUOUS);
        expect(readBulkAnswer({ ...answer, isCut: true }, 1, 0, true)).toMatchObject(AMBIGUOUS);
      }),
    );
  });

  it('has exactly one verdict for each document, whatever the statuses', () => {
    const taken = fc.integer({ min: 200, max: 599 });
    fc.assert(
      fc.property(fc.array(taken, { minLength: 1, maxLength: 8 }), fc.boolean(), (statuses, hasIds) => {
        const reading = read({ items: statuses.map((status) => item(status)) }, { size: statuses.length, hasIds });
        if (reading.kind === 'accepted') return expect(statuses.every((status) => status < 300)).toBe(true);
        if (reading.kind === 'denied')
          return expect(statuses.every((status) => [401, 403, 404].includes(status))).toBe(true);
        if (reading.kind !== 'judged') throw new Error(reading.kind);
        expect(reading.items).toHaveLength(statuses.length);
        reading.items.forEach((one, i) => {
          const status = statuses[i] ?? 0;
          expect(one.kind === 'accepted').toBe(status < 300 || (status === 409 && hasIds));
        });
      }),
    );
  });
});
