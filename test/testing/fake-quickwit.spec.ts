import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { FakeQuickwit, waitFor } from '@nest-baton/testing';

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
      sink.fail({ kind: 'slow', delayMs: 150 });
      const begun = performance.now();
      const asked = post(GOOD);
      await waitFor(() => ids().length === 1, { description: 'it is stored' });
      expect(sink.requests[0]?.status).toBeUndefined();
      expect((await asked).status).toBe(200);
      expect(performance.now() - begun).toBeGreaterThanOrEqual(145);
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
