import { Client, errors } from '@elastic/elasticsearch';
import type { BulkHelperOptions, BulkStats, OnDropDocument } from '@elastic/elasticsearch/lib/helpers';
import { FakeQuickwit, type FakeQuickwitOptions } from '@nest-baton/testing';

interface Doc {
  readonly id: number;
  readonly level?: string;
}

const INDEX = 'app-logs';

/** Elastic's own client, which nobody can have bent to fit: what it takes for Elasticsearch is faithful, as far as it looks. */
describe('the real Elasticsearch client against FakeQuickwit', () => {
  const started: { close(): Promise<unknown> }[] = [];

  async function start(options: FakeQuickwitOptions = {}, more: { compression?: boolean; maxRetries?: number } = {}) {
    const sink = await FakeQuickwit.start({ elasticProduct: true, indexes: [INDEX], ...options });
    const client = new Client({ node: sink.url, maxRetries: 0, ...more });
    started.push(client, { close: () => sink.stop() });
    return { sink, client };
  }

  afterEach(async () => {
    for (const one of started.splice(0)) await one.close();
  });

  const docs = (count: number): Doc[] => Array.from({ length: count }, (_, id) => ({ id }));

  interface Run {
    readonly stats: BulkStats;
    readonly dropped: readonly OnDropDocument<Doc>[];
  }

  async function bulk(
    client: Client,
    datasource: readonly Doc[],
    options: Partial<BulkHelperOptions<Doc>> = {},
  ): Promise<Run> {
    const dropped: OnDropDocument<Doc>[] = [];
    const stats = await client.helpers.bulk<Doc>({
      datasource: [...datasource],
      onDocument: () => ({ create: { _index: INDEX } }),
      onDrop: (drop) => dropped.push(drop),
      wait: 1,
      ...options,
    });
    return { stats, dropped };
  }

  const ids = (sink: FakeQuickwit) => sink.documents(INDEX).map(({ id }) => id);
  const failureOf = async (run: Promise<unknown>): Promise<errors.ResponseError> => {
    const error: unknown = await run.catch((caught: unknown) => caught);
    expect(error).toHaveProperty('name', 'ResponseError');
    return error as errors.ResponseError;
  };

  it('takes the fake for Elasticsearch of its own major version', async () => {
    const { client } = await start();
    const info = await client.info();
    expect(info).toMatchObject({ tagline: 'You Know, for Search', version: { number: expect.stringMatching(/^9\./) } });
    expect(await client.ping()).toBe(true);
  });

  it('does not take it for Elasticsearch without elasticProduct, as with a real Quickwit', async () => {
    const { client } = await start({ elasticProduct: false });
    await expect(bulk(client, docs(1))).rejects.toHaveProperty('name', 'ProductNotSupportedError');
  });

  it.each([
    ['index', false],
    ['create', false],
    ['index', true],
    ['create', true],
  ] as const)('stores everything by `%s`, in several requests, compressed: %p', async (operation, compression) => {
    const { sink, client } = await start({}, { compression });
    const { stats, dropped } = await bulk(client, docs(500), {
      onDocument: () => (operation === 'index' ? { index: { _index: INDEX } } : { create: { _index: INDEX } }),
      flushBytes: 2_000,
    });
    expect(stats).toMatchObject({ total: 500, successful: 500, failed: 0, retry: 0, aborted: false });
    expect([dropped, sink.requests.length > 5]).toEqual([[], true]);
    expect(sink.requests.every(({ encoding }) => encoding === (compression ? 'gzip' : undefined))).toBe(true);
    expect(new Set(ids(sink))).toEqual(new Set(docs(500).map(({ id }) => id)));
    expect(ids(sink)).toHaveLength(500);
  });

  it('sends to the index of the path, and is told of each success in order, under its action and with an id', async () => {
    const { sink, client } = await start();
    const told: unknown[] = [];
    await bulk(client, docs(3), {
      index: INDEX,
      onDocument: ({ id }) => (id === 1 ? { index: {} } : { create: {} }),
      onSuccess: ({ result, document }) => told.push([Object.keys(result), document]),
    });
    expect(told).toEqual([
      [['create'], { id: 0 }],
      [['index'], { id: 1 }],
      [['create'], { id: 2 }],
    ]);
    expect([sink.requests[0]?.path, ids(sink)]).toEqual([`/${INDEX}/_bulk`, [0, 1, 2]]);
  });

  it('drops the documents that the mapping refuses, and stores their neighbours', async () => {
    const { sink, client } = await start({
      validate: ({ level }) => (level === 'bad' ? 'level: no such level' : undefined),
    });
    const { stats, dropped } = await bulk(
      client,
      docs(10).map((doc) => (doc.id % 4 === 1 ? { ...doc, level: 'bad' } : doc)),
    );
    expect(stats).toMatchObject({ successful: 7, failed: 3 });
    expect(dropped.map(({ status, error, document, retried }) => [status, error?.type, document.id, retried])).toEqual(
      [1, 5, 9].map((id) => [400, 'document_parsing_exception', id, false]),
    );
    expect(dropped[0]).toMatchObject({ error: { reason: 'level: no such level' }, operation: { create: {} } });
    expect(ids(sink)).toEqual([0, 2, 3, 4, 6, 7, 8]);
  });

  it('retries items with 429, these alone, until they are taken', async () => {
    const { sink, client } = await start();
    sink.fail([{ kind: 'items', verdict: ({ value }) => (Number(value?.['id']) < 3 ? 429 : undefined) }]);
    const { stats, dropped } = await bulk(client, docs(10), { retries: 3 });
    // The client counts lines of its body: two a document.
    expect(stats).toMatchObject({ successful: 10, failed: 0, retry: 2 * 3 });
    expect([dropped, sink.requests.map(({ documents }) => documents.length)]).toEqual([[], [10, 3]]);
    expect(ids(sink)).toEqual([3, 4, 5, 6, 7, 8, 9, 0, 1, 2]);
  });

  it('drops items that stay at 429', async () => {
    const { sink, client } = await start();
    sink.fail(() => ({ kind: 'items', verdict: ({ value }) => (value?.['id'] === 1 ? 429 : undefined) }));
    const { stats, dropped } = await bulk(client, docs(3), { retries: 2 });
    expect(stats).toMatchObject({ successful: 2, failed: 1, retry: 2 * 2 });
    expect(dropped.map(({ status, document, retried }) => [status, document.id, retried])).toEqual([[429, 1, true]]);
    expect(ids(sink)).toEqual([0, 2]);
  });

  it('drops items with 404, 409, 500 and 503 with the type and the reason', async () => {
    const { client, sink } = await start();
    const statuses = [404, 409, 500, 503];
    sink.fail([{ kind: 'items', verdict: (_document, position) => statuses[position] }]);
    const { dropped } = await bulk(client, docs(5));
    expect(dropped.map(({ status }) => status)).toEqual(statuses);
    for (const { error } of dropped)
      expect(error).toMatchObject({
        type: expect.stringMatching(/_exception$/),
        reason: expect.stringContaining(INDEX),
      });
    expect(ids(sink)).toEqual([4]);
  });

  it('finds documents that are there: `create` is refused with 409, `index` replaces', async () => {
    const { sink, client } = await start();
    const create = ({ id }: Doc) => ({ create: { _index: INDEX, _id: `doc-${id}` } });
    expect((await bulk(client, docs(3), { onDocument: create })).stats).toMatchObject({ successful: 3 });
    const again = await bulk(client, docs(4), { onDocument: create });
    expect(again.stats).toMatchObject({ successful: 1, failed: 3 });
    expect(again.dropped.map(({ status, error }) => [status, error?.type])).toEqual(
      Array.from({ length: 3 }, () => [409, 'version_conflict_engine_exception']),
    );
    const results: unknown[] = [];
    await bulk(client, [{ id: 0, level: 'new' }], {
      onDocument: () => ({ index: { _index: INDEX, _id: 'doc-0' } }),
      onSuccess: ({ result }) => results.push(result.index?.result, result.index?.status, result.index?._id),
    });
    expect(results).toEqual(['updated', 200, 'doc-0']);
    expect(sink.documents(INDEX)).toEqual([{ id: 0, level: 'new' }, { id: 1 }, { id: 2 }, { id: 3 }]);
  });

  it('is told what an id must not be: empty, for one document; too long, for the whole request', async () => {
    const { sink, client } = await start();
    const withIds = (texts: readonly string[]) =>
      bulk(client, docs(texts.length), {
        onDocument: ({ id }) => ({ create: { _index: INDEX, _id: texts[id] ?? '' } }),
      });
    expect((await withIds(['a', '', 'ü'.repeat(256)])).dropped).toMatchObject([
      { status: 400, document: { id: 1 }, error: { type: 'illegal_argument_exception' } },
    ]);
    const error = await failureOf(withIds(['b', 'ü'.repeat(257)]));
    expect([error.statusCode, error.message]).toEqual([400, expect.stringContaining('but was: 514')]);
    expect(ids(sink)).toEqual([0, 2]);
  });

  it('is told the name that no index can have, and the index that is not there', async () => {
    const { client } = await start();
    const { dropped } = await bulk(client, docs(2), {
      onDocument: ({ id }) => ({ create: { _index: id === 0 ? 'Logs' : 'none' } }),
    });
    expect(dropped.map(({ status, error }) => [status, error?.type])).toEqual([
      [400, 'invalid_index_name_exception'],
      [404, 'index_not_found_exception'],
    ]);
  });

  it.each([
    [429, 'es_rejected_execution_exception'],
    [503, 'cluster_block_exception'],
    [400, 'illegal_argument_exception'],
    [401, 'security_exception'],
  ])(
    'gives up on a whole request with %i, and finds type and reason where Elasticsearch has them',
    async (status, type) => {
      const { sink, client } = await start();
      sink.fail([{ kind: 'status', status, message: 'not now' }]);
      const error = await failureOf(bulk(client, docs(5)));
      expect([error.statusCode, error.message]).toEqual([status, `${type}\n\tRoot causes:\n\t\t${type}: not now`]);
      expect(error.body).toMatchObject({ status, error: { type, reason: 'not now' } });
      expect(ids(sink)).toEqual([]);
    },
  );

  it('tries a whole request again after 503, as it is allowed to', async () => {
    const { sink, client } = await start({}, { maxRetries: 2 });
    sink.fail([{ kind: 'status', status: 503 }]);
    expect((await bulk(client, docs(5))).stats).toMatchObject({ successful: 5 });
    expect(sink.requests.map(({ status }) => status)).toEqual([503, 200]);
  });

  it('gives up on a request that is too long', async () => {
    const { sink, client } = await start({ maxContentLength: 100 });
    expect((await failureOf(bulk(client, docs(50)))).statusCode).toBe(413);
    expect(ids(sink)).toEqual([]);
  });

  it('loses the connection after the documents were stored, and does not know it', async () => {
    const { sink, client } = await start();
    sink.fail([{ kind: 'reset', when: 'after' }]);
    await expect(bulk(client, docs(5))).rejects.toHaveProperty('name', 'ConnectionError');
    expect(ids(sink)).toEqual([0, 1, 2, 3, 4]);
  });

  it('waits for a refresh, forces one, and asks for one at the end', async () => {
    const { sink, client } = await start();
    sink.holdCommits();
    const waiting = bulk(client, docs(1), { refresh: 'wait_for' });
    const quick = await bulk(client, [{ id: 1 }], { refresh: false });
    expect(quick.stats.successful).toBe(1);
    sink.releaseCommits();
    expect((await waiting).stats.successful).toBe(1);
    await bulk(client, [{ id: 2 }], { refresh: true, refreshOnCompletion: INDEX });
    expect(sink.requests.map(({ path, commit }) => [path, commit])).toEqual([
      ['/_bulk', 'wait_for'],
      ['/_bulk', 'auto'],
      ['/_bulk', 'force'],
      [`/${INDEX}/_refresh`, 'auto'],
    ]);
    await expect(client.indices.refresh({ index: 'none' })).rejects.toHaveProperty('statusCode', 404);
  });

  it('answers in the media type that the client asks for, and refuses a client of the version after next', async () => {
    const { sink, client } = await start();
    const operations = [{ create: { _index: INDEX } }, { id: 1 }];
    const { headers } = await client.bulk({ operations }, { meta: true });
    expect(headers['content-type']).toBe('application/vnd.elasticsearch+json;compatible-with=9');
    const type = (version: number) => `application/vnd.elasticsearch+x-ndjson; compatible-with=${version}`;
    const accept = (version: number) => `application/vnd.elasticsearch+json; compatible-with=${version}`;
    const as = (version: number) =>
      client.bulk({ operations }, { headers: { accept: accept(version), 'content-type': type(version) } });
    await expect(as(8)).resolves.toMatchObject({ errors: false });
    const error = await failureOf(as(10));
    expect([error.statusCode, error.message]).toEqual([400, expect.stringContaining('media_type_header_exception')]);
    expect(ids(sink)).toEqual([1, 1]);
  });
});
