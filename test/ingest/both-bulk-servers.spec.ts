import type { FakeQuickwit } from '@nest-baton/testing';
import { docs, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

interface Doc {
  readonly id: number;
  readonly level?: string;
}

/** What the protocol asks of a server, and what the servers that speak it say in their own ways. */
describe('bulk, to Elasticsearch and to Quickwit', () => {
  afterEach(stopAll);

  const asElasticsearch = async () => {
    const sink = await startSink({
      elasticProduct: true,
      validate: ({ level }) => (level === 'bad' ? 'no such level' : undefined),
    });
    return { sink, url: sink.url };
  };
  const asQuickwit = async () => {
    const sink = await startSink({ validate: ({ level }) => (level === 'bad' ? 'no such level' : undefined) });
    return { sink, url: `${sink.url}/api/v1/_elastic/` };
  };
  const ids = (sink: FakeQuickwit, index = INDEX) => sink.documents(index).map(({ id }) => id);

  describe.each([
    ['Elasticsearch', asElasticsearch, ''],
    ['Quickwit', asQuickwit, '/api/v1/_elastic'],
  ] as const)('%s', (_name, start, prefix) => {
    it('stores by `create` at the index of the path', async () => {
      const { sink, url } = await start();
      const ingest = startIngest(url, { protocol: 'bulk' });
      await ingest.ingestSync(docs(10));
      expect(sink.requests.map(({ path, method, status, query }) => [path, method, status, query.size])).toEqual([
        [`${prefix}/${INDEX}/_bulk`, 'POST', 200, 0],
      ]);
      expect(sink.requests[0]?.lines.filter((_line, at) => at % 2 === 0)).toEqual(docs(10).map(() => '{"create":{}}'));
      expect(sink.documents(INDEX)).toEqual(docs(10));
    });

    it('asks for a refresh where a commit is waited for or forced', async () => {
      const { sink, url } = await start();
      await startIngest(url, { protocol: 'bulk', commit: 'wait_for' }).ingestSync(docs(1));
      await startIngest(url, { protocol: 'bulk', commit: 'force' }).ingestSync(docs(1));
      expect(sink.requests.map(({ query, commit }) => [query.get('refresh'), commit])).toEqual([
        ['wait_for', 'wait_for'],
        ['true', 'force'],
      ]);
    });

    it('has a verdict for each document, whose place it is told by', async () => {
      const { sink, url } = await start();
      sink.fail([{ kind: 'items', verdict: (_document, position) => (position === 4 ? 429 : undefined) }]);
      const ingest = startIngest<Doc>(url, { protocol: 'bulk' });
      const given = docs(6).map((doc) => (doc.id % 3 === 1 ? { ...doc, level: 'bad' } : doc));
      const outcomes = await ingest.ingestBatch(given).outcomes;
      expect(outcomes.map((outcome) => ('reason' in outcome ? outcome.reason : outcome.status))).toEqual([
        'accepted',
        'rejected',
        'accepted',
        'accepted',
        'rejected',
        'accepted',
      ]);
      expect(outcomes[1]).toMatchObject({ cause: { message: 'document_parsing_exception: no such level' } });
      expect(sink.requests.map(({ documents }) => documents.length)).toEqual([6, 1]);
      expect(ids(sink)).toEqual([0, 2, 3, 5]);
    });

    it('sends ids as they are', async () => {
      const { sink, url } = await start();
      const texts = ['a', '"}}', 'ü\u2028', '\\'];
      const ingest = startIngest<Doc>(url, {
        protocol: 'bulk',
        documentId: (doc: unknown) => texts[(doc as Doc).id] ?? '',
      });
      await ingest.ingestSync(docs(texts.length));
      expect(sink.requests[0]?.documents.map(({ id }) => id)).toEqual(texts);
    });
  });

  it('finds documents of an attempt whose answer was lost where ids mean something, and says so', async () => {
    const { sink, url } = await asElasticsearch();
    sink.fail([{ kind: 'reset', when: 'after' }]);
    const ingest = startIngest<Doc>(url, { protocol: 'bulk', documentId: (doc: unknown) => String((doc as Doc).id) });
    const outcomes = await ingest.ingestBatch(docs(3)).outcomes;
    expect(outcomes.map((outcome) => outcome.status === 'accepted' && outcome.alreadyPresent)).toEqual([
      true,
      true,
      true,
    ]);
    expect(ids(sink)).toEqual([0, 1, 2]);
  });

  it("takes each server's own names for its indexes", async () => {
    const quickwit = await asQuickwit();
    await startIngest(quickwit.url, { protocol: 'bulk', index: 'AppLogs' }).ingestSync(docs(1));
    expect(ids(quickwit.sink, 'AppLogs')).toEqual([0]);
    expect(() => startIngest(quickwit.url, { protocol: 'bulk', index: '.logs' })).toThrow(/index must be a letter/);
    const elastic = await asElasticsearch();
    await startIngest(elastic.url, { protocol: 'bulk', index: '.lögs%' }).ingestSync(docs(1));
    expect(ids(elastic.sink, '.lögs%')).toEqual([0]);
    expect(() => startIngest(elastic.url, { protocol: 'bulk', index: 'AppLogs' })).toThrow(/index must be lower case/);
  });
});
