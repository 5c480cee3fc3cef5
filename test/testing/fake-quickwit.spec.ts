import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import * as zlib from 'node:zlib';
import { FakeQuickwit, waitFor } from '@nest-baton/testing';

const { deflateSync, gzipSync } = zlib;
const GOOD = '{"id":1}';

describe('FakeQuickwit', () => {
  let sink: FakeQuickwit;

  beforeEach(async () => {
    sink = await FakeQuickwit.start({
      indexes: ['logs', 'runs'],
      maxContentLength: 1000,
      validate: ({ id }) => (typeof id === 'number' ? undefined : 'field `id` is not a number'),
    });
  });

  afterEach(() => sink.stop());

  function post(body: string | Buffer, { index = 'logs', query = '', headers = {} } = {}): Promise<Response> {
    return fetch(`${sink.url}/api/v1/${index}/ingest${query}`, { method: 'POST', body: body as string, headers });
  }

  async function answer(response: Promise<Response>): Promise<{ status: number; body: Record<string, unknown> }> {
    const given = await response;
    expect(given.headers.get('content-type')).toBe('application/json');
    return { status: given.status, body: (await given.json()) as Record<string, unknown> };
  }

  const ids = (index = 'logs') => sink.documents(index).map(({ id }) => id);

  describe('as the server does', () => {
    it('stores the documents of NDJSON in order, with duplicates, and skips blank lines', async () => {
      expect(await answer(post('{"id":2}\n\n  \t\r\n{"id":1}\n'))).toEqual({
        status: 200,
        body: { num_docs_for_processing: 2, num_ingested_docs: 2, num_rejected_docs: 0 },
      });
      await post('  {"id":2}');
      expect(ids()).toEqual([2, 1, 2]);
      expect(sink.counts('logs')).toEqual(
        new Map([
          [2, 2],
          [1, 1],
        ]),
      );
      expect(sink.multiset('logs')).toEqual(
        new Map([
          ['{"id":2}', 2],
          ['{"id":1}', 1],
        ]),
      );
      expect(sink.documents('runs')).toEqual([]);
    });

    it('takes a body without documents', async () => {
      expect(await answer(post('\n \n'))).toMatchObject({ status: 200, body: { num_docs_for_processing: 0 } });
    });

    it('gives text and reason of what it rejects, when asked for details', async () => {
      const body = '{"id":1}\n {"id" \r\n[1]\n{"id":"x"}\n';
      expect(await answer(post(body, { query: '?detailed_response=true' }))).toEqual({
        status: 200,
        body: {
          num_docs_for_processing: 4,
          num_ingested_docs: 1,
          num_rejected_docs: 3,
          parse_failures: [
            { message: expect.stringContaining('JSON') as string, reason: 'invalid_json', document: ' {"id" \r' },
            { message: 'JSON document is not an object', reason: 'invalid_json', document: '[1]' },
            { message: 'field `id` is not a number', reason: 'invalid_schema', document: '{"id":"x"}' },
          ],
        },
      });
      const plain = await answer(post(body));
      expect(plain.body).toEqual({ num_docs_for_processing: 4, num_ingested_docs: 1, num_rejected_docs: 3 });
      const whole = await answer(post(GOOD, { query: '?detailed_response=true' }));
      expect(whole.body).toMatchObject({ parse_failures: [] });
    });

    it('answers 200 also when it rejects all', async () => {
      expect(await answer(post('nonsense'))).toMatchObject({ status: 200, body: { num_ingested_docs: 0 } });
    });

    it.each([
      ['gzip', gzipSync(GOOD)],
      ['x-gzip', Buffer.concat([gzipSync('{"id":1}\n'), gzipSync('')])],
      ['deflate', deflateSync(GOOD)],
      ['x-deflate', deflateSync(GOOD)],
      ['identity', Buffer.from(GOOD)],
    ])('decodes %s', async (encoding, body) => {
      expect((await post(body, { headers: { 'content-encoding': encoding } })).status).toBe(200);
      expect(ids()).toEqual([1]);
    });

    it('takes every commit type, and its alias', async () => {
      for (const query of ['?commit=auto', '?commit=wait_for', '?commit=force', '?commit_type=force'])
        expect((await post(GOOD, { query })).status).toBe(200);
      expect(sink.requests.map(({ query }) => query.get('commit'))).toEqual(['auto', 'wait_for', 'force', null]);
    });

    it.each([
      ['an unknown commit type', { query: '?commit=later' }, 400],
      ['a boolean that is none', { query: '?detailed_response=1' }, 400],
      ['details from the legacy service', { query: '?use_legacy_ingest=true&detailed_response=true' }, 400],
      ['an index id that cannot be', { index: '1x' }, 400],
      ['an unknown encoding', { headers: { 'content-encoding': 'br' } }, 415],
      ['corrupt compressed data', { headers: { 'content-encoding': 'gzip' } }, 400],
    ])('refuses %s, and stores nothing', async (_, how, status) => {
      expect(await answer(post(GOOD, how))).toEqual({ status, body: { message: expect.any(String) as string } });
      expect(ids()).toEqual([]);
    });

    it('says which index it does not know', async () => {
      expect(await answer(post(GOOD, { index: 'others' }))).toEqual({
        status: 404,
        body: { message: 'index `others` not found' },
      });
    });

    it('compares the length of the body as sent with its limit, not that of its content', async () => {
      const long = `{"id":1,"text":"${'x'.repeat(2000)}"}`;
      expect((await answer(post(long))).status).toBe(413);
      expect((await post(gzipSync(long), { headers: { 'content-encoding': 'gzip' } })).status).toBe(200);
    });

    it('refuses a body without a length', async () => {
      const sent = request(`${sink.url}/api/v1/logs/ingest`, { method: 'POST' });
      sent.write(GOOD);
      sent.end();
      const [response] = (await once(sent, 'response')) as [{ statusCode: number; resume(): void }];
      response.resume();
      expect(response.statusCode).toBe(411);
      expect(ids()).toEqual([]);
    });

    it('knows the legacy answer, other methods and other paths', async () => {
      expect((await answer(post(GOOD, { query: '?use_legacy_ingest=true' }))).body).toEqual({
        num_docs_for_processing: 1,
      });
      expect((await answer(fetch(`${sink.url}/api/v1/logs/ingest`))).status).toBe(405);
      expect((await answer(fetch(`${sink.url}/api/v1/logs/search`))).status).toBe(404);
    });

    it('takes any content type, and ignores parameters that it does not know', async () => {
      for (const type of ['application/json', 'application/x-ndjson', 'text/plain'])
        expect((await post(GOOD, { query: '?pretty=1', headers: { 'content-type': type } })).status).toBe(200);
      expect(ids()).toEqual([1, 1, 1]);
    });

    it('test_ingest_api_returns_200_when_ingest_ndjson_and_fetch: with white space before the lines', async () => {
      expect((await post('\n            {"id": 1}\n            {"id": 2}\n        ')).status).toBe(200);
      expect(ids()).toEqual([1, 2]);
    });

    it('answers a body without documents before it looks at the index, without the optional counts', async () => {
      expect(await answer(post('\n \t\r\n', { index: 'others' }))).toEqual({
        status: 200,
        body: { num_docs_for_processing: 0 },
      });
    });

    it('takes a line of other white space than that of ASCII for a document', async () => {
      expect(await answer(post('\u00a0\n\u2028\n\u000b'))).toMatchObject({ body: { num_rejected_docs: 3 } });
    });

    it('rejects what only JavaScript takes for JSON, and bytes that are no UTF-8', async () => {
      const bad = ['{"id":1,"text":"\\ud800"}', '{"id":1,"\\udc00":1}', '{"id":1e400}'];
      const body = Buffer.concat([
        Buffer.from(`${bad.join('\n')}\n{"id":2,"text":"\\ud83d\\ude00"}\n{"id":"`),
        Buffer.from([0xff, 0x22, 0x7d]),
      ]);
      const { body: given } = await answer(post(body, { query: '?detailed_response=true' }));
      expect(given).toMatchObject({ num_ingested_docs: 1, num_rejected_docs: 4 });
      const failures = given['parse_failures'] as { document: string; reason: string }[];
      expect(failures.slice(0, 3).map(({ document }) => document)).toEqual(bad);
      expect(new Set(failures.map(({ reason }) => reason))).toEqual(new Set(['invalid_json']));
      expect(ids()).toEqual([2]);
    });

    it('refuses with a message and nothing else, in the words of the server', async () => {
      const refusals = [
        post(GOOD, { index: 'x' }),
        post(GOOD, { query: '?commit=auto&commit_type=auto' }),
        post(GOOD, { query: '?use_legacy_ingest=true&detailed_response=true' }),
        fetch(`${sink.url}/api/v1/logs/ingest`, { method: 'PUT', body: GOOD }),
        post(GOOD, { headers: { 'content-encoding': 'GZIP' } }),
      ];
      expect(await Promise.all(refusals.map(answer))).toEqual([
        { status: 400, body: { message: 'bad request (invalid index ID)' } },
        { status: 400, body: { message: 'Invalid query string' } },
        { status: 400, body: { message: 'bad request (detailed_response is not supported in ingest v1)' } },
        { status: 405, body: { message: 'HTTP method not allowed' } },
        {
          status: 415,
          body: { message: "Unsupported Content-Encoding GZIP. Supported encodings are 'gzip' and 'zstd'" },
        },
      ]);
    });

    it('decodes zstd where Node can, and refuses it elsewhere', async () => {
      const { zstdCompressSync } = zlib as unknown as { zstdCompressSync?: (text: string) => Buffer };
      const body = zstdCompressSync?.(GOOD) ?? GOOD;
      const { status } = await post(body, { headers: { 'content-encoding': 'zstd' } });
      expect(status).toBe(zstdCompressSync === undefined ? 415 : 200);
    });

    it('has a limit of 10 MiB by default, to the byte', async () => {
      const usual = await FakeQuickwit.start();
      const limit = 10 * 1024 * 1024;
      const statuses = [];
      for (const length of [limit, limit + 1])
        statuses.push(
          (await fetch(`${usual.url}/api/v1/logs/ingest`, { method: 'POST', body: ' '.repeat(length) })).status,
        );
      expect(statuses).toEqual([200, 413]);
      await usual.stop();
    });

    it('wait_for and force block until the documents are published, without a limit of their own; auto does not', async () => {
      sink.holdCommits();
      const asked = ['wait_for', 'force'].map((commit, id) => post(`{"id":${id}}`, { query: `?commit=${commit}` }));
      await waitFor(() => ids().length === 2, { description: 'both are stored' });
      expect((await post('{"id":2}')).status).toBe(200);
      expect([sink.openRequests, sink.requests.map(({ status }) => status)]).toEqual([2, [undefined, undefined, 200]]);
      sink.releaseCommits();
      expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200]);
    });

    it('has indexes that come and go, each with documents of its own, and makes those of a template', async () => {
      const patterns = await FakeQuickwit.start({ indexes: ['logs', 'app-*'] });
      const send = async (index: string) =>
        (await fetch(`${patterns.url}/api/v1/${index}/ingest`, { method: 'POST', body: GOOD })).status;
      expect([await send('logs'), await send('app-1'), await send('other')]).toEqual([200, 200, 404]);
      patterns.deleteIndex('logs');
      expect([await send('logs'), await send('app-1'), patterns.documents('logs')]).toEqual([404, 200, []]);
      patterns.createIndex('logs');
      expect([await send('logs'), patterns.documents('logs').length, patterns.documents('app-1').length]).toEqual([
        200, 1, 2,
      ]);
      await patterns.stop();
    });

    it('v1 answers 200 and drops bad documents silently; it can be switched off, and be the only one', async () => {
      const legacy = await post(`${GOOD}\n{"id":"x"}`, { query: '?use_legacy_ingest=true' });
      expect(await legacy.json()).toEqual({ num_docs_for_processing: 2 });
      expect([ids(), sink.dropped('logs')]).toEqual([[1], ['{"id":"x"}']]);
      const [old, modern] = await Promise.all([
        FakeQuickwit.start({ versions: 'v1' }),
        FakeQuickwit.start({ versions: 'v2' }),
      ]);
      const send = (to: FakeQuickwit, query = '') =>
        fetch(`${to.url}/api/v1/logs/ingest${query}`, { method: 'POST', body: GOOD });
      expect(await (await send(old)).json()).toEqual({ num_docs_for_processing: 1 });
      expect((await send(old, '?detailed_response=true')).status).toBe(400);
      expect(await answer(send(modern, '?use_legacy_ingest=true'))).toMatchObject({
        status: 500,
        body: { message: expect.stringContaining('v1 is disabled') },
      });
      await Promise.all([old.stop(), modern.stop()]);
    });

    it('accepts bad documents with 200, and drops them later, where an index does not validate', async () => {
      const trusting = await FakeQuickwit.start({ validateDocs: false });
      const answered = await fetch(`${trusting.url}/api/v1/logs/ingest`, { method: 'POST', body: `${GOOD}\nnonsense` });
      expect(await answered.json()).toEqual({ num_docs_for_processing: 2, num_ingested_docs: 2, num_rejected_docs: 0 });
      expect([trusting.documents('logs'), trusting.dropped('logs')]).toEqual([[{ id: 1 }], ['nonsense']]);
      await trusting.stop();
    });

    it('says whether it is alive and ready', async () => {
      const ask = async (which: string) => {
        const given = await fetch(`${sink.url}/health/${which}`);
        return [given.status, await given.json()];
      };
      expect([await ask('livez'), await ask('readyz')]).toEqual([
        [200, true],
        [200, true],
      ]);
      sink.setHealth({ isReady: false });
      expect([await ask('livez'), await ask('readyz')]).toEqual([
        [200, true],
        [503, false],
      ]);
    });

    it('keeps of each request what it was: lines, documents, bytes on the wire, encoding, commit, connection', async () => {
      const body = gzipSync(`${GOOD}\n\n[2]\n`);
      await post(body, { query: '?commit=force', headers: { 'content-encoding': 'gzip' } });
      expect(sink.requests[0]).toMatchObject({
        route: 'native',
        index: 'logs',
        commit: 'force',
        encoding: 'gzip',
        wireBytes: body.length,
        lines: [GOOD, '[2]'],
        connection: 1,
        status: 200,
      });
      expect(sink.requests[0]?.documents).toEqual([
        { index: 'logs', id: undefined, line: GOOD, value: { id: 1 } },
        { index: 'logs', id: undefined, line: '[2]', value: undefined },
      ]);
      sink.forget();
      expect([sink.requests, ids()]).toEqual([[], []]);
    });
  });

  describe('with a script of faults', () => {
    it('gives the nth request its fault, before anything is stored', async () => {
      sink.fail([undefined, { kind: 'status', status: 429, retryAfter: '2', message: 'slow down' }]);
      expect((await post(GOOD)).status).toBe(200);
      const refused = await post(GOOD);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '2']);
      expect(await refused.json()).toEqual({ message: 'slow down' });
      expect((await post(GOOD)).status).toBe(200);
      expect(ids()).toEqual([1, 1]);
      expect(sink.requests.map(({ status }) => status)).toEqual([200, 429, 200]);
    });

    it('goes on with one fault until it is cleared', async () => {
      sink.fail({ kind: 'status', status: 503 });
      expect([(await post(GOOD)).status, (await post(GOOD)).status]).toEqual([503, 503]);
      sink.clearFaults();
      expect((await post(GOOD)).status).toBe(200);
    });

    it('asks a function, with the request and its number', async () => {
      sink.fail(({ index }, nth) => (index === 'runs' && nth === 2 ? { kind: 'status', status: 500 } : undefined));
      const statuses = [];
      for (const index of ['runs', 'runs', 'logs']) statuses.push((await post(GOOD, { index })).status);
      expect(statuses).toEqual([200, 500, 200]);
    });

    it.each([
      ['stall', 'before', 0],
      ['stall', 'after', 1],
    ] as const)('%ss %s storing, and never answers', async (kind, when, stored) => {
      sink.fail({ kind, when });
      const caller = new AbortController();
      const asked = fetch(`${sink.url}/api/v1/logs/ingest`, { method: 'POST', body: GOOD, signal: caller.signal });
      const outcome = asked.then(
        () => 'answered',
        () => 'nothing',
      );
      await waitFor(() => sink.requests.length === 1, { description: 'the request came' });
      await waitFor(() => ids().length === stored, { description: 'what is stored is stored' });
      await sink.stop();
      expect(await outcome).toBe('nothing');
      expect(sink.requests[0]?.status).toBeUndefined();
    });

    it.each([
      ['before', 0],
      ['after', 1],
    ] as const)('drops the connection %s storing', async (when, stored) => {
      sink.fail({ kind: 'reset', when });
      await expect(post(GOOD)).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
      expect(ids()).toHaveLength(stored);
    });

    it('sends half of an answer after it has stored', async () => {
      sink.fail({ kind: 'truncate' });
      const response = await post(GOOD);
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow();
      expect(ids()).toEqual([1]);
    });

    it('answers late, but stores at once', async () => {
      sink.fail({ kind: 'slow', delayMs: 400 });
      const begun = performance.now();
      const asked = post(GOOD);
      await waitFor(() => ids().length === 1, { description: 'it is stored' });
      expect(sink.requests[0]?.status).toBeUndefined();
      expect((await asked).status).toBe(200);
      expect(performance.now() - begun).toBeGreaterThanOrEqual(395);
    });

    it('answers as the legacy service does', async () => {
      sink.fail({ kind: 'legacy' });
      expect((await answer(post(GOOD, { query: '?detailed_response=true' }))).body).toEqual({
        num_docs_for_processing: 1,
      });
    });
  });

  it('frees its port when it stops, also twice, with connections open', async () => {
    const port = Number(new URL(sink.url).port);
    const idle = connect(port, '127.0.0.1');
    idle.on('error', () => undefined);
    await once(idle, 'connect');
    await sink.stop();
    await sink.stop();
    const again = await FakeQuickwit.start({ port });
    expect(again.url).toBe(sink.url);
    await again.stop();
    idle.destroy();
  });
});
