import { ackDecision, type DiscardReason, IngestModule } from '@nest-baton/ingest';
import { Test } from '@nestjs/testing';
import { z } from 'zod';
import { errorOf, ids, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

const MIB = 1024 * 1024;

function raise(): never {
  throw new Error('thrown by the document');
}

/** No JSON object comes of these. */
function hopeless(): readonly unknown[] {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  return [
    '',
    '   ',
    'a\nb',
    '\ud83d',
    '\u2028',
    7,
    7n,
    null,
    undefined,
    Symbol('s'),
    raise,
    [1],
    [],
    { n: 1n },
    cycle,
  ].concat([
    { toJSON: raise },
    { toJSON: () => undefined },
    { toJSON: () => 'text' },
    { deep: [{ toJSON: raise }] },
    new Proxy({}, { ownKeys: raise }),
  ]);
}

/** Odd, and yet documents. */
function odd(): readonly Record<string, unknown>[] {
  return [
    { id: 'blank', text: '' },
    { id: 'blanks', text: '   ' },
    { id: 'break', text: 'a\nb\r\n' },
    { id: 'half', text: 'cut \ud83d' },
    { id: 'separator', text: '\u2028\u2029\u0085' },
    { id: 'nothing', text: null, never: undefined },
    { id: 'zero', text: '\u0000\u001f\u007f' },
    { id: 'key', 'a"\n': 1 },
    Object.assign(Object.create(null) as Record<string, unknown>, { id: 'bare' }),
    JSON.parse('{"id":"proto","__proto__":{"x":1}}') as Record<string, unknown>,
    { id: 'brackets', text: '"}}\n{"create":{}}\n{"id":"forged"}' },
  ];
}

describe.each(['native', 'bulk'] as const)('odd documents, %s', (protocol) => {
  afterEach(stopAll);

  it('are refused alone when nobody waits for them, in their order, and their neighbours get through', async () => {
    const sink = await startSink();
    const discarded: [unknown, DiscardReason][] = [];
    const hooks = { onDiscard: (doc: unknown, reason: DiscardReason) => void discarded.push([doc, reason]) };
    const service = startIngest<unknown>(sink.url, { protocol, hooks });
    const bad = hopeless();
    const good = odd();
    // One after each other: bad, good, bad, bad …
    await service.ingest(bad.flatMap((one, i) => (i < good.length ? [one, good[i]] : [one])));
    await service.flush();
    expect(discarded.map(([, reason]) => reason)).toEqual(bad.map(() => 'encode'));
    discarded.forEach(([doc], i) => expect(doc).toBe(bad[i]));
    expect(ids(sink).toSorted()).toEqual(good.map(({ id }) => id).toSorted());
  });

  it('have each its own verdict when they are handed in one by one', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url, { protocol });
    const all = hopeless().flatMap((one, i) => [one, { id: i }]);
    const outcomes = await Promise.all(all.map((doc) => service.ingestBatch([doc]).outcomes));
    outcomes.forEach(([outcome], i) => {
      expect(outcome).toMatchObject(i % 2 === 0 ? { status: 'discarded', reason: 'encode' } : { status: 'accepted' });
    });
    expect(ids(sink)).toHaveLength(hopeless().length);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, bufferedBytes: 0, waitingDocs: 0 });
  });

  it('keep their positions when the server refuses some of them', async () => {
    const refused = ['half', 'separator', 'brackets'];
    const validate = ({ id }: Record<string, unknown>) =>
      refused.includes(String(id)) ? `no ${String(id)}` : undefined;
    const sink = await startSink({ validate });
    const all = odd();
    const outcomes = await startIngest(sink.url, { protocol }).ingestBatch(all).outcomes;
    outcomes.forEach((outcome, i) => {
      const isRefused = refused.includes(String(all[i]?.['id']));
      expect(outcome).toMatchObject(
        isRefused ? { status: 'discarded', reason: 'rejected' } : { status: 'accepted', attribution: 'document' },
      );
    });
    expect(ids(sink).toSorted()).toEqual(
      all
        .map(({ id }) => id)
        .filter((id) => !refused.includes(String(id)))
        .toSorted(),
    );
  });

  it('are too large alone, and the neighbours of a document of 10 MiB are not', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url, { protocol, compression: 'none' });
    const documents = [{ id: 0 }, { id: 1, text: 'x'.repeat(10 * MIB) }, { id: 2 }];
    expect(await service.ingestBatch(documents).outcomes).toMatchObject([
      { status: 'accepted' },
      { status: 'discarded', reason: 'too_large' },
      { status: 'accepted' },
    ]);
    expect(ids(sink).toSorted()).toEqual([0, 2]);
  });
});

describe('documents that a schema refuses', () => {
  afterEach(stopAll);

  const schema = z.object({ id: z.number(), at: z.string().default('now') });

  it('are invalid alone when nobody waits for them; what is sent is what the schema made of the others', async () => {
    const sink = await startSink();
    const discarded: unknown[] = [];
    const hooks = { onDiscard: (doc: unknown, reason: DiscardReason) => void discarded.push([doc, reason]) };
    const service = startIngest<unknown>(sink.url, { schema, hooks });
    await service.ingest([{ id: 1, more: true }, { id: 'secret' }, 'text', { id: 2, at: 'then' }]);
    await service.flush();
    expect(discarded).toEqual([
      [{ id: 'secret' }, 'invalid'],
      ['text', 'invalid'],
    ]);
    expect(sink.documents(INDEX)).toEqual([
      { id: 1, at: 'now' },
      { id: 2, at: 'then' },
    ]);
    expect(service.stats().discarded).toEqual({ invalid: 2 });
  });

  it('fail a call at their position, before anything is sent, and go to the dead letters', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url, { schema });
    const error = await errorOf(service.ingestSync([{ id: 1 }, { id: 'secret' }, { id: 3 }]));
    expect(error).toMatchObject({ code: 'INGEST_DISCARDED', reason: 'invalid', retryable: false });
    expect((error['failures'] as { index: number; cause: Error }[]).map(({ cause }) => cause.message)).toEqual([
      expect.stringContaining('document 1 of the call'),
      'the document does not fit the schema: id: Invalid input: expected number, received string',
      expect.stringContaining('document 1 of the call'),
    ]);
    expect(ackDecision(error)).toBe('dead_letter');
    const lone = await errorOf(service.ingestSync({ id: 'secret' }));
    expect([lone['reason'], ackDecision(lone)]).toEqual(['invalid', 'dead_letter']);
    await service.flush();
    expect(sink.requests).toHaveLength(0);
  });

  it('are all documents when the schema answers with a promise, whose rejection is not left unhandled', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listen);
    const sink = await startSink();
    // zod asks once more, for a promise, when something that it calls throws; this one rejects.
    const late = z.object({ id: z.number().refine(raise) });
    const error = await errorOf(startIngest(sink.url, { schema: late }).ingestSync({ id: 1 }));
    expect(error).toMatchObject({
      reason: 'invalid',
      cause: { message: expect.stringContaining('must be synchronous') },
    });
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });
});

describe('ids of documents', () => {
  afterEach(stopAll);

  const documentId = (doc: { readonly id: string }) => doc.id;

  it('find the document of a delivery before; one without an id is refused alone', async () => {
    const sink = await startSink({ elasticProduct: true });
    const service = startIngest<unknown>(sink.url, { protocol: 'bulk', documentId });
    await service.ingest([{ id: 'a' }, { id: '' }, { no: 'id' }, null, { id: 'b' }]);
    await service.flush();
    expect(service.stats()).toMatchObject({ accepted: 2, discarded: { encode: 3 } });
    expect(await service.ingestBatch([{ id: 'c' }, { id: 'a' }]).outcomes).toMatchObject([
      { status: 'accepted', alreadyPresent: false },
      { status: 'accepted', alreadyPresent: true },
    ]);
    expect(ids(sink).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('are made of what the schema made of the document', async () => {
    const sink = await startSink({ elasticProduct: true });
    const schema = z.object({ name: z.string() }).transform(({ name }) => ({ id: name.trim(), name }));
    const service = startIngest<unknown>(sink.url, { protocol: 'bulk', schema, documentId });
    await service.ingestSync([{ name: ' a' }, { name: 'b ' }]);
    expect(await service.ingestBatch([{ name: 'a ' }]).outcomes).toMatchObject([{ alreadyPresent: true }]);
    expect(ids(sink).toSorted()).toEqual(['a', 'b']);
  });
});

describe('an application with wrong options', () => {
  it('does not start, and tells all that is wrong at once, without secrets', async () => {
    const options = {
      url: 'http://user:secret@quickwit:7280',
      index: 'a b',
      maxBatchBytes: 11 * MIB,
      maxBufferDocs: -1,
      concurrency: { start: 9 },
      documentId: () => 'id',
      indexes: { default: { index: 'x' } },
      maxDelai: '1s',
    };
    const module = Test.createTestingModule({ imports: [IngestModule.forRoot(options)] });
    const error = await errorOf(module.compile());
    expect(error['code']).toBe('OPTIONS_INVALID');
    expect((error['problems'] as string[]).toSorted()).toEqual([
      'concurrency.start must be between min (1) and max (8), not 9',
      "documentId needs protocol 'bulk': under 'native' the server keeps no ids, so it would do nothing",
      'index must be a letter followed by 2 to 254 letters, digits, dashes, underscores or dots',
      'indexes.default.index must be a letter followed by 2 to 254 letters, digits, dashes, underscores or dots',
      "indexes: a name must not be 'default', which is the root's own index",
      'maxBatchBytes must be at most serverLimitBytes (10485760), not 11534336',
      'maxBufferDocs must be at least 1, not -1',
      'maxBufferDocs must be at least twice the number of indexes (4), not -1',
      'unknown option maxDelai; did you mean maxDelay?',
      'url must hold no credentials: use auth',
    ]);
    expect(error['message']).not.toContain('secret');
  });
});
