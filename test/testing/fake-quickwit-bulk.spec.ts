import { gzipSync } from 'node:zlib';
import { FakeQuickwit, type FakeQuickwitOptions, type FailureReason, waitFor } from '@nest-baton/testing';
import { request } from 'undici';

interface Item {
  readonly _index: string;
  readonly _id: string | null;
  readonly status: number;
  readonly error: { readonly index: string; readonly type: string; readonly reason: string } | null;
}

describe('FakeQuickwit, bulk', () => {
  const sinks: FakeQuickwit[] = [];

  async function start(options: FakeQuickwitOptions = {}): Promise<FakeQuickwit> {
    const sink = await FakeQuickwit.start({ indexes: ['logs', 'runs', 'app-*'], ...options });
    sinks.push(sink);
    return sink;
  }

  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.stop()));
  });

  const ndjson = (...lines: readonly unknown[]) =>
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n') + '\n';

  async function bulk(
    sink: FakeQuickwit,
    body: string | Buffer,
    { path = '/api/v1/_elastic/_bulk', method = 'POST', headers = {} } = {},
  ): Promise<{ status: number; body: Record<string, unknown>; items: Item[]; headers: Record<string, unknown> }> {
    const answered = await request(sink.url + path, {
      method: method as 'POST',
      body,
      headers: { 'content-type': 'application/x-ndjson', ...headers },
    });
    const given = (await answered.body.json()) as Record<string, unknown>;
    const items = ((given['items'] ?? []) as Record<string, Item>[]).map((item) => Object.values(item)[0] as Item);
    return { status: answered.statusCode, body: given, items, headers: answered.headers };
  }

  const index = (_index = 'logs', _id?: string) => ({ index: { _index, ...(_id === undefined ? {} : { _id }) } });
  const ids = (sink: FakeQuickwit, name = 'logs') => sink.documents(name).map(({ id }) => id);

  describe('as Quickwit does', () => {
    it('0001-happy-path: stores, and shows a status for each document in order, under `index`, with the id that was sent', async () => {
      const sink = await start();
      const { status, body } = await bulk(
        sink,
        ndjson(index('logs', '1'), { id: 1 }, { create: { _index: 'logs', _id: '2' } }, { id: 2 }, index(), { id: 3 }),
      );
      expect(status).toBe(200);
      expect(body).toEqual({
        took: expect.any(Number) as number,
        errors: false,
        items: ['1', '2', null].map((_id) => ({ index: { _index: 'logs', _id, status: 201, error: null } })),
      });
      expect(ids(sink)).toEqual([1, 2, 3]);
    });

    it('does nothing with ids: the same one is stored as often as it is sent', async () => {
      const sink = await start();
      const twice = ndjson({ create: { _index: 'logs', _id: '1' } }, { id: 1 });
      await bulk(sink, twice);
      expect((await bulk(sink, twice)).items[0]?.status).toBe(201);
      expect(sink.counts('logs').get(1)).toBe(2);
    });

    it.each(['/api/v1/_elastic/logs/_bulk', '/_elastic/logs/_bulk', '/logs/_bulk'])(
      '%s: the index of the path is for lines without one',
      async (path) => {
        const sink = await start();
        const { items } = await bulk(sink, ndjson({ index: {} }, { id: 1 }, index('runs'), { id: 2 }), { path });
        expect(items.map(({ _index }) => _index)).toEqual(['logs', 'runs']);
        expect([ids(sink), ids(sink, 'runs')]).toEqual([[1], [2]]);
      },
    );

    it.each(['/api/v1/_elastic/_bulk', '/_elastic/_bulk', '/_bulk'])('listens on %s', async (path) => {
      const sink = await start();
      expect((await bulk(sink, ndjson(index(), { id: 1 }), { path })).items).toHaveLength(1);
    });

    it.each([
      ['a delete', ndjson({ delete: { _index: 'logs', _id: '1' } })],
      ['no JSON', ndjson('{"index":{"_index":"logs"},}', { id: 1 })],
      ['two actions in one', ndjson({ index: {}, create: {} }, { id: 1 })],
      ['an id that is no string', ndjson({ index: { _index: 'logs', _id: 1 } }, { id: 1 })],
    ])('0002-malformed-action: refuses the whole bulk for %s', async (_, bad) => {
      const sink = await start();
      const first = await bulk(sink, bad);
      expect(first).toMatchObject({
        status: 400,
        body: { status: 400, error: { type: 'illegal_argument_exception' } },
      });
      expect(first.body['error']).toMatchObject({
        reason: expect.stringMatching(/^Malformed action\/metadata line \[1\]/),
      });
      const third = await bulk(sink, ndjson(index(), { id: 1 }) + bad);
      expect(third.body['error']).toMatchObject({ reason: expect.stringContaining('[3]') });
      expect(ids(sink)).toEqual([]);
    });

    it('0003-validation-failed-index-missing, and an action without its document', async () => {
      const sink = await start();
      const reasons = [];
      for (const body of [ndjson({ index: { _id: '1' } }, { id: 1 }), ndjson(index())])
        reasons.push((await bulk(sink, body)).body['error']);
      expect(reasons).toMatchObject([
        { type: 'action_request_validation_exception', reason: 'Validation Failed: 1: index is missing;' },
        { type: 'action_request_validation_exception', reason: 'Validation Failed: 1: no requests added;' },
      ]);
    });

    it('0004-put-request: takes PUT, and no other', async () => {
      const sink = await start();
      expect((await bulk(sink, ndjson(index(), { id: 1 }), { method: 'PUT' })).items[0]?.status).toBe(201);
      expect((await bulk(sink, ndjson(index(), { id: 1 }), { method: 'PATCH' })).status).toBe(405);
    });

    it('0005-document-parsing-exception: tells which documents it rejects, stores the others', async () => {
      const sink = await start({
        validate: ({ id }) => (typeof id === 'number' ? undefined : 'field `id` is not a number'),
      });
      const { body, items } = await bulk(
        sink,
        ndjson(index('logs', 'a'), { id: 1 }, index('logs', 'b'), { id: 'x' }, index(), '{"id":', index(), { id: 4 }),
      );
      expect(body['errors']).toBe(true);
      expect(items.map(({ status }) => status)).toEqual([201, 400, 400, 201]);
      expect(items[1]).toEqual({
        _index: 'logs',
        _id: 'b',
        status: 400,
        error: { index: 'logs', type: 'document_parsing_exception', reason: 'field `id` is not a number' },
      });
      expect(items[2]?.error?.reason).toBe('failed to parse JSON document');
      expect(ids(sink)).toEqual([1, 4]);
    });

    it('0006-partial-index-not-found: 404 for the items of an index that is not there, others stored, templates make theirs', async () => {
      const sink = await start();
      const { status, body, items } = await bulk(
        sink,
        ndjson(index('nowhere'), { id: 1 }, index(), { id: 2 }, index('app-7'), { id: 3 }),
      );
      expect([status, body['errors'], items.map((item) => item.status)]).toEqual([200, true, [404, 201, 201]]);
      expect(items[0]?.error).toEqual({
        index: 'nowhere',
        type: 'index_not_found_exception',
        reason: 'no such index [nowhere]',
      });
      expect([ids(sink), ids(sink, 'app-7')]).toEqual([[2], [3]]);
    });

    it('0007-illegal-index-name: 400 for its item; without any other document the items are missing, as in the server', async () => {
      const sink = await start();
      const { items } = await bulk(sink, ndjson(index(), { id: 1 }, index('app-&1'), { id: 2 }));
      expect(items.map(({ status }) => status)).toEqual([201, 400]);
      expect(items[1]?.error).toMatchObject({
        type: 'illegal_argument_exception',
        reason: 'invalid index id [app-&1]',
      });
      expect((await bulk(sink, ndjson(index('app-&1'), { id: 2 }))).body).toEqual({
        took: 0,
        errors: false,
        items: [],
      });
    });

    it.each([
      ['an empty line before the action', '\n{"index":{"_index":"logs"}}\n{"id":1}'],
      ['a blank line before the action', '       \n{"index":{"_index":"logs"}}\n{"id":1}'],
      ['an empty line before the document', '{"index":{"_index":"logs"}}\n\n{"id":1}'],
      ['a blank line before the document', '{"index":{"_index":"logs"}}\n     \n{"id":1}'],
    ])('test_process_lines: ignores %s', async (_, body) => {
      const sink = await start();
      expect((await bulk(sink, body)).items).toHaveLength(1);
    });

    it('test_bulk_api_accepts_empty_requests', async () => {
      expect((await bulk(await start(), '')).body).toEqual({ took: 0, errors: false, items: [] });
    });

    it('refresh: absent and false are auto; true, empty and bare are force; wait_for; others are 400', async () => {
      const sink = await start();
      const queries = [
        '',
        '?refresh=false',
        '?refresh=true',
        '?refresh=',
        '?refresh',
        '?refresh=wait_for',
        '?refresh=later',
      ];
      const statuses = [];
      for (const query of queries)
        statuses.push(
          (await bulk(sink, ndjson(index(), { id: 1 }), { path: `/api/v1/_elastic/_bulk${query}` })).status,
        );
      expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 400]);
      expect(sink.requests.map(({ commit }) => commit)).toEqual([
        'auto',
        'auto',
        'force',
        'force',
        'force',
        'wait_for',
        undefined,
      ]);
    });

    it('test_bulk_api_blocks_when_refresh_wait_for_is_specified, and refresh=true: until published', async () => {
      const sink = await start();
      sink.holdCommits();
      const asked = ['?refresh=wait_for', '?refresh=true'].map((query, id) =>
        bulk(sink, ndjson(index(), { id }), { path: `/_bulk${query}` }),
      );
      await waitFor(() => ids(sink).length === 2, { description: 'both are stored' });
      expect((await bulk(sink, ndjson(index(), { id: 2 }))).status).toBe(200);
      expect(sink.openRequests).toBe(2);
      sink.releaseCommits();
      expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200]);
    });

    it('has the limit, the encodings and the refusals of the native route, in their form', async () => {
      const sink = await start({ maxContentLength: 100 });
      const long = ndjson(index(), { id: 1, text: 'x'.repeat(200) });
      expect(await bulk(sink, long)).toMatchObject({
        status: 413,
        body: { message: 'The request payload is too large' },
      });
      expect((await bulk(sink, gzipSync(long), { headers: { 'content-encoding': 'gzip' } })).status).toBe(200);
      const odd = await bulk(sink, 'x', { headers: { 'content-encoding': 'br' } });
      expect(odd).toMatchObject({ status: 415, body: { message: expect.stringContaining('Content-Encoding br') } });
    });

    it('test_bulk_api_returns_404_if_index_id_does_not_exist, and no verdicts, from the legacy service', async () => {
      const sink = await start();
      const path = '/api/v1/_elastic/_bulk?use_legacy_ingest=true';
      expect(await bulk(sink, ndjson(index(), { id: 1 }, index(), '{"id"'), { path })).toMatchObject({
        status: 200,
        body: { errors: false, items: [] },
      });
      expect([ids(sink), sink.dropped('logs')]).toEqual([[1], ['{"id"']]);
      expect(await bulk(sink, ndjson(index('nowhere'), { id: 1 }), { path })).toMatchObject({
        status: 404,
        body: { status: 404, error: { reason: 'index `nowhere` not found' } },
      });
    });

    it('answers GET /_elastic as Quickwit, without the product header', async () => {
      const sink = await start();
      const answered = await request(`${sink.url}/api/v1/_elastic`);
      expect(answered.headers['x-elastic-product']).toBeUndefined();
      expect(await answered.body.json()).toMatchObject({
        tagline: 'You Know, for Search',
        version: { distribution: 'quickwit' },
      });
    });
  });

  describe('what goes wrong behind the routes, told as each route tells it', () => {
    const table: readonly (readonly [FailureReason, number, number, string])[] = [
      ['index_not_found', 404, 404, 'index_not_found_exception'],
      ['source_not_found', 500, 404, 'source_not_found_exception'],
      ['internal', 500, 500, 'internal_exception'],
      ['no_shards_available', 503, 429, 'rate_limited_exception'],
      ['shard_rate_limited', 429, 429, 'rate_limited_exception'],
      ['wal_full', 429, 500, 'internal_exception'],
      ['timeout', 500, 408, 'timeout_exception'],
      ['router_load_shedding', 429, 500, 'internal_exception'],
      ['load_shedding', 429, 500, 'internal_exception'],
      ['circuit_breaker', 429, 500, 'internal_exception'],
    ];

    it.each(table)(
      '%s: %d on the native route, %d for each item of a bulk (%s)',
      async (reason, native, item, type) => {
        const sink = await start();
        sink.fail({ kind: 'failure', reason });
        const single = await request(`${sink.url}/api/v1/logs/ingest`, { method: 'POST', body: '{"id":1}' });
        expect(single.statusCode).toBe(native);
        expect(await single.body.json()).toEqual({ message: expect.any(String) as string });
        expect(single.headers['retry-after']).toBeUndefined();
        const { status, body, items } = await bulk(sink, ndjson(index(), { id: 1 }, index(), { id: 2 }));
        expect([status, body['errors']]).toEqual([200, true]);
        expect(items.map((one) => [one.status, one.error?.type])).toEqual([
          [item, type],
          [item, type],
        ]);
        expect(items[0]?.error?.reason).toMatch(/\[logs\]$/);
        expect(ids(sink)).toEqual([]);
      },
    );

    it('fails the documents of one index, and stores those of the others', async () => {
      const sink = await start();
      sink.fail({ kind: 'failure', reason: 'shard_rate_limited', index: 'runs' });
      const { items } = await bulk(sink, ndjson(index('runs'), { id: 1 }, index(), { id: 2 }));
      expect(items.map(({ status }) => status)).toEqual([429, 201]);
      expect([ids(sink, 'runs'), ids(sink)]).toEqual([[], [2]]);
      expect((await request(`${sink.url}/api/v1/logs/ingest`, { method: 'POST', body: '{"id":3}' })).statusCode).toBe(
        200,
      );
    });

    it('gives items the verdicts of a script: refused ones are not stored, unless it says so', async () => {
      const sink = await start();
      sink.fail({
        kind: 'items',
        verdict: ({ value, id }, position) => {
          if (value?.['id'] === 1) return 409;
          if (id === 'limited') return { status: 429, type: 'circuit_breaking_exception', reason: 'too much' };
          return position === 3 ? { status: 500, isStored: true } : undefined;
        },
      });
      const { body, items } = await bulk(
        sink,
        ndjson(index(), { id: 0 }, index(), { id: 1 }, index('logs', 'limited'), { id: 2 }, index(), { id: 3 }),
      );
      expect(body['errors']).toBe(true);
      expect(items.map(({ status, error }) => [status, error?.type])).toEqual([
        [201, undefined],
        [409, 'version_conflict_engine_exception'],
        [429, 'circuit_breaking_exception'],
        [500, 'internal_exception'],
      ]);
      expect(ids(sink)).toEqual([0, 3]);
    });

    it('gives a scripted status in the form of Elasticsearch', async () => {
      const sink = await start();
      sink.fail([{ kind: 'status', status: 429, message: 'slow down', retryAfter: '1' }]);
      const refused = await bulk(sink, ndjson(index(), { id: 1 }));
      expect(refused).toMatchObject({ status: 429, body: { status: 429, error: { reason: 'slow down' } } });
      expect(refused.headers['retry-after']).toBe('1');
    });
  });

  describe('as Elasticsearch does, with elasticProduct', () => {
    it('sends the product header with every answer, also with refusals', async () => {
      const sink = await start({ elasticProduct: true });
      const info = await request(sink.url);
      expect(info.headers['x-elastic-product']).toBe('Elasticsearch');
      expect(await info.body.json()).toMatchObject({
        version: { build_flavor: 'default', number: expect.stringMatching(/^9\./) },
      });
      expect((await request(sink.url, { method: 'HEAD' })).statusCode).toBe(200);
      const malformed = await bulk(sink, 'nonsense');
      expect([malformed.status, malformed.headers['x-elastic-product']]).toEqual([400, 'Elasticsearch']);
    });

    it('takes a body without a length, shows items under their action, and makes ids', async () => {
      const sink = await start({ elasticProduct: true });
      const answered = await fetch(`${sink.url}/_bulk`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: new Blob([ndjson({ create: { _index: 'logs' } }, { id: 1 }, index(), { id: 2 })]).stream(),
        duplex: 'half',
      });
      expect(answered.status).toBe(200);
      const { items } = (await answered.json()) as { items: Record<string, Record<string, unknown>>[] };
      expect(items.map((item) => Object.keys(item))).toEqual([['create'], ['index']]);
      expect(items[0]?.['create']).toMatchObject({ _id: expect.any(String) as string, result: 'created', status: 201 });
      expect('error' in (items[0]?.['create'] ?? {})).toBe(false);
    });

    it('refuses to create what is there, and replaces what is indexed again', async () => {
      const sink = await start({ elasticProduct: true });
      const create = { create: { _index: 'logs', _id: 'a' } };
      const { items } = await bulk(sink, ndjson(create, { id: 1 }, create, { id: 2 }, index('logs', 'a'), { id: 3 }), {
        path: '/_bulk',
      });
      expect(items.map(({ status }) => status)).toEqual([201, 409, 200]);
      expect(items[1]?.error).toMatchObject({ type: 'version_conflict_engine_exception', index: 'logs' });
      expect(ids(sink)).toEqual([3]);
    });

    it.each([
      ['', 'Content-Type header is missing'],
      ['text/plain', 'Content-Type header [text/plain] is not supported'],
    ])('refuses a body of the type %p, with a text for an error', async (type, error) => {
      const sink = await start({ elasticProduct: true });
      const headers = type === '' ? {} : { 'content-type': type };
      const answered = await request(`${sink.url}/_bulk`, {
        method: 'POST',
        headers,
        body: ndjson(index(), { id: 1 }),
      });
      expect([answered.statusCode, await answered.body.json()]).toEqual([406, { error, status: 406 }]);
      expect(ids(sink)).toEqual([]);
    });

    it.each([
      'application/json',
      'application/x-ndjson; charset=UTF-8',
      'application/vnd.elasticsearch+x-ndjson;compatible-with=8',
    ])('takes a body of the type %s', async (type) => {
      const sink = await start({ elasticProduct: true });
      const body = ndjson(index(), { id: 1 });
      expect((await bulk(sink, body, { path: '/_bulk', headers: { 'content-type': type } })).status).toBe(200);
    });

    it('wants both media types to name one version', async () => {
      const sink = await start({ elasticProduct: true });
      const type = 'application/vnd.elasticsearch+x-ndjson;compatible-with=9';
      const headers = { 'content-type': type, accept: 'application/json' };
      expect(await bulk(sink, ndjson(index(), { id: 1 }), { path: '/_bulk', headers })).toMatchObject({
        status: 400,
        body: { error: { type: 'media_type_header_exception', caused_by: { type: 'status_exception' } } },
      });
    });

    it('wants a body, and a line break at its end', async () => {
      const sink = await start({ elasticProduct: true });
      const path = '/_bulk';
      expect(await bulk(sink, '', { path })).toMatchObject({
        status: 400,
        body: { error: { type: 'parse_exception' } },
      });
      const open = await bulk(sink, ndjson(index(), { id: 1 }).trimEnd(), { path });
      expect(open).toMatchObject({
        status: 400,
        body: { error: { type: 'illegal_argument_exception', root_cause: [{ type: 'illegal_argument_exception' }] } },
      });
      expect(ids(sink)).toEqual([]);
    });

    it('shows an item also when no name is one that an index can have', async () => {
      const sink = await start({ elasticProduct: true });
      const { items } = await bulk(sink, ndjson(index('Logs'), { id: 1 }, index('..'), { id: 2 }), { path: '/_bulk' });
      expect(items.map(({ status, error }) => [status, error?.type])).toEqual([
        [400, 'invalid_index_name_exception'],
        [400, 'invalid_index_name_exception'],
      ]);
    });

    it('refreshes the indexes that there are, which Quickwit has no route for', async () => {
      const sink = await start({ elasticProduct: true });
      const refresh = async (path: string, of = sink) => (await request(of.url + path, { method: 'POST' })).statusCode;
      expect(
        await Promise.all(['/_refresh', '/logs/_refresh', '/nowhere/_refresh'].map((path) => refresh(path))),
      ).toEqual([200, 200, 404]);
      expect(await refresh('/logs/_refresh', await start())).toBe(404);
    });
  });
});
