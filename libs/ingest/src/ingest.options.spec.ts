import { z } from 'zod';
import { type IngestOptions, resolveIngestOptions } from './ingest.options.js';

function problemsOf(options: object): readonly string[] {
  try {
    resolveIngestOptions(options as IngestOptions);
    return [];
  } catch (error) {
    return (error as { problems: readonly string[] }).problems;
  }
}

const ENOUGH = { url: 'http://quickwit:7280/', index: 'app-logs' };
const BULK = { ...ENOUGH, protocol: 'bulk' } as const;
const documentId = (doc: { readonly id: string }) => doc.id;

describe('the options', () => {
  it('needs a url and an index', () => {
    expect(problemsOf({})).toEqual(['url is required', 'index is required']);
    expect(resolveIngestOptions(ENOUGH)).toMatchObject({
      protocol: 'native',
      commit: 'auto',
      maxBatchDocs: 1_000,
      maxDelayMs: 1_000,
      concurrency: { start: 2, min: 1, max: 8 },
    });
  });

  it('gives a request longer than the 35 s that the server takes at most, and one with a commit 30 s above its timeout', () => {
    expect(resolveIngestOptions(ENOUGH)).toMatchObject({ requestTimeoutMs: 40_000, commitTimeoutMs: 90_000 });
  });

  it.each(['ab', '1abc', 'a b c', 'ab/../c', 'a'.repeat(256), '_all'])('refuses the index %p under native', (index) => {
    expect(problemsOf({ ...ENOUGH, index })).toHaveLength(1);
  });

  it.each(['a b', 'Logs', '-a', '_all', '..', 'a/b', 'é'.repeat(128)])('refuses the index %p under bulk', (index) => {
    expect(problemsOf({ ...BULK, index })).toHaveLength(1);
  });

  it('knows Quickwit under bulk by its path, and then goes by its rule', () => {
    const url = 'http://quickwit:7280/api/v1/_elastic/';
    expect(problemsOf({ ...BULK, url, index: 'Logs' })).toEqual([]);
    expect(problemsOf({ ...BULK, url, index: 'ab' })).toHaveLength(1);
    expect(problemsOf({ ...BULK, index: 'ab' })).toEqual([]);
  });

  it.each([
    [{ url: 'quickwit:7280' }, 'url must be a URL'],
    [{ url: 'ftp://quickwit' }, 'url must be a URL'],
    [{ url: 'http://x?q=secret' }, 'url must have no query'],
    [{ url: 'http://u:secret@x' }, 'url must hold no credentials'],
    [{ maxBatchBytes: 11 * 1024 * 1024 }, 'maxBatchBytes must be at most serverLimitBytes (10485760), not 11534336'],
    [{ maxBatchBytes: 0 }, 'maxBatchBytes must be at least 1'],
    [{ maxBatchDocs: -1 }, 'maxBatchDocs must be at least 1'],
    [{ maxBatchDocs: 1.5 }, 'maxBatchDocs must be a whole number'],
    [{ maxBufferDocs: 0 }, 'maxBufferDocs must be at least 1'],
    [{ maxBufferBytes: -5 }, 'maxBufferBytes must be at least 1'],
    [{ maxDelay: -1 }, 'maxDelay must be a duration'],
    [{ maxDelay: '2d' }, 'maxDelay must be at most'],
    [{ requestTimeout: 0 }, 'requestTimeout must be at least 1 ms'],
    [{ commit: 'always' }, "commit must be one of 'auto', 'wait_for', 'force', not 'always'"],
    [{ protocol: 'grpc' }, "protocol must be one of 'native', 'bulk'"],
    [{ retry: { base: '2s' } }, 'retry.cap must be at least base'],
    [{ retry: { bse: 1 } }, 'retry: unknown option bse; did you mean base'],
    [{ auth: { authorization: 'a\nb' } }, 'auth must be'],
    [{ auth: null }, 'auth must be'],
    [{ hooks: { onDiscard: 1 } }, 'hooks.onDiscard must be a function'],
    [{ hooks: null }, 'hooks: options must be an object'],
    [{ dispatcher: {} }, 'dispatcher must be'],
    [{ maxDelai: 1 }, 'did you mean maxDelay'],
    [{ schema: {} }, 'schema must be a Standard Schema'],
    [{ schema: null }, 'schema must be a Standard Schema'],
    [{ schema: { '~standard': { version: 2, validate: () => ({}) } } }, 'schema must be a Standard Schema'],
    [{ documentId }, "documentId needs protocol 'bulk'"],
    [{ protocol: 'bulk', documentId: 'id' }, 'documentId must be a function'],
  ])('refuses %p', (options, part) => {
    const problems = problemsOf({ ...ENOUGH, ...options });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(part);
    expect(problems[0]).not.toContain('secret');
  });

  it('cannot be changed afterwards, nor through what was given', () => {
    const auth = { authorization: 'a' };
    const resolved = resolveIngestOptions({ ...ENOUGH, auth, indexes: { audit: { index: 'audit-logs' } } });
    auth.authorization = 'b';
    expect(resolved.auth).toEqual({ authorization: 'a' });
    const { retry, indexes, concurrency, hooks } = resolved;
    for (const part of [resolved, resolved.auth, retry, indexes, indexes['audit'], concurrency, hooks])
      expect(Object.isFrozen(part)).toBe(true);
  });
});

describe('concurrency', () => {
  it.each([
    [4, { start: 4, min: 4, max: 4 }],
    [{}, { start: 2, min: 1, max: 8 }],
    [{ max: 1 }, { start: 1, min: 1, max: 1 }],
    [{ min: 4 }, { start: 4, min: 4, max: 8 }],
    [{ min: 16 }, { start: 16, min: 16, max: 16 }],
    [
      { start: 3, min: 2, max: 5 },
      { start: 3, min: 2, max: 5 },
    ],
  ])('%p is %p', (concurrency, bounds) => {
    expect(resolveIngestOptions({ ...ENOUGH, concurrency }).concurrency).toEqual(bounds);
  });

  it.each([
    [0, 'concurrency must be at least 1, not 0'],
    [65, 'concurrency must be at most 64'],
    [1.5, 'concurrency must be a whole number'],
    [Number.NaN, 'concurrency must be a whole number'],
    ['4', 'concurrency must be a whole number, or an object of start, min and max'],
    [null, 'concurrency must be a whole number, or'],
    [[1, 2], 'concurrency must be a whole number, or'],
    [{ start: 9 }, 'concurrency.start must be between min (1) and max (8), not 9'],
    [{ start: 1, min: 2 }, 'concurrency.start must be between min (2) and max (8), not 1'],
    [{ min: 4, max: 2, start: 3 }, 'concurrency.min must be at most max (2), not 4'],
    [{ max: 0 }, 'concurrency.max must be at least 1'],
    [{ mx: 1 }, 'concurrency: unknown option mx; did you mean max'],
  ])('%p is refused', (concurrency, part) => {
    expect(problemsOf({ ...ENOUGH, concurrency }).join('\n')).toContain(part);
  });
});

describe('further indexes', () => {
  it('have the commit and the hooks of the root where they say nothing, and neither its schema nor its ids', () => {
    const seen: unknown[] = [];
    const rootHooks = {
      words: [] as unknown[],
      onDiscard(doc: unknown) {
        this.words.push(doc);
      },
      onReject: () => undefined,
    };
    const { words, ...hooks } = rootHooks;
    const resolved = resolveIngestOptions({
      ...BULK,
      commit: 'wait_for',
      schema: z.object({}),
      documentId,
      hooks: Object.assign(Object.create({ onDiscard: hooks.onDiscard, words }) as object, {}),
      indexes: {
        audit: { index: 'audit-logs' },
        metrics: { index: 'metrics', commit: 'auto', documentId, hooks: { onDiscard: (doc) => seen.push(doc) } },
      },
    });
    const { audit, metrics } = resolved.indexes;
    expect(audit).toMatchObject({ commit: 'wait_for', schema: undefined, documentId: undefined });
    expect(metrics).toMatchObject({ index: 'metrics', commit: 'auto', documentId });
    audit?.hooks.onDiscard?.('of audit', 'encode');
    metrics?.hooks.onDiscard?.('of metrics', 'encode');
    expect({ words, seen }).toEqual({ words: ['of audit'], seen: ['of metrics'] });
  });

  it('may be one index under two names, with another commit', () => {
    const indexes = { sure: { index: 'app-logs', commit: 'wait_for' }, quick: { index: 'app-logs' } } as const;
    expect(Object.keys(resolveIngestOptions({ ...ENOUGH, indexes }).indexes)).toEqual(['sure', 'quick']);
  });

  it('are not there unless they were given', () => {
    const { indexes } = resolveIngestOptions(ENOUGH);
    expect([indexes['constructor'], indexes['__proto__']]).toEqual([undefined, undefined]);
    const odd = resolveIngestOptions({ ...ENOUGH, indexes: { ['__proto__']: { index: 'odd-name' } } }).indexes;
    expect(odd['__proto__']).toMatchObject({ index: 'odd-name' });
  });

  it.each([
    [{ '': { index: 'abc' } }, 'indexes: a name must not be empty'],
    [{ 'a:b': { index: 'abc' } }, "indexes: a name must be without ':', not 'a:b'"],
    [{ default: { index: 'abc' } }, "indexes: a name must not be 'default'"],
    [{ audit: {} }, 'indexes.audit.index is required'],
    [{ audit: undefined }, 'indexes.audit.index is required'],
    [{ audit: { index: 'a b' } }, 'indexes.audit.index must be a letter'],
    [{ audit: { index: 'abc', commti: 1 } }, 'indexes.audit: unknown option commti; did you mean commit'],
    [{ audit: { index: 'abc', documentId } }, "indexes.audit.documentId needs protocol 'bulk'"],
    [{ audit: { index: 'abc', schema: 1 } }, 'indexes.audit.schema must be a Standard Schema'],
    [{ audit: { index: 'abc', hooks: { onReject: 1 } } }, 'indexes.audit.hooks.onReject must be a function'],
    [{ audit: { index: 'abc', url: 'http://x' } }, 'indexes.audit: unknown option url'],
    [{ audit: 'audit-logs' }, 'indexes.audit: options must be an object'],
    [{ audit: null }, 'indexes.audit: options must be an object'],
    [['audit'], 'indexes must be an object of names and their options'],
    [new Map([['audit', { index: 'abc' }]]), 'indexes must be an object of names and their options'],
    [null, 'indexes must be an object of names and their options'],
  ])('%p is refused', (indexes, part) => {
    expect(problemsOf({ ...ENOUGH, indexes }).join('\n')).toContain(part);
  });

  it('need a place each in the buffer that they share', () => {
    const indexes = { audit: { index: 'audit-logs' } };
    expect(problemsOf({ ...ENOUGH, indexes, maxBufferDocs: 3 })).toEqual([
      'maxBufferDocs must be at least twice the number of indexes (4), not 3',
    ]);
    expect(problemsOf({ ...ENOUGH, indexes, maxBufferDocs: 4 })).toEqual([]);
    expect(problemsOf({ ...ENOUGH, maxBufferDocs: 1 })).toEqual([]);
  });
});
