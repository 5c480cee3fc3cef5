import { gzipSync } from 'node:zlib';
import { request } from 'undici';
import { type ContractServer, startContractServer } from './support/contract-server.js';
import { errorOf, startIngest, stopAll } from './support/bench.js';

let server: ContractServer;

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function post(path: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await request(`${server.url}${path}`, { method: 'POST', body, headers });
  return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> };
}

const ingest = (query = '', index = server.index): string => `/api/v1/${index}/ingest${query}`;
const bulk = (query = '', index = server.index): string => `/api/v1/_elastic/${index}/_bulk${query}`;
const TWO = '{"id":1}\n{"id":2}\n';

/** What we rely on. Runs against `FakeQuickwit`, and with `TEST_QUICKWIT_URL` against a real one, so that the two are held to one word. */
describe('the contract of the server', () => {
  beforeAll(async () => {
    server = await startContractServer();
  });
  afterAll(() => server.stop());
  afterEach(stopAll);

  describe('its own route', () => {
    it('counts documents, and skips blank lines', async () => {
      const counts = { num_docs_for_processing: 2, num_ingested_docs: 2, num_rejected_docs: 0 };
      expect(await post(ingest(), `\n${TWO}  \n`)).toEqual({ status: 200, body: counts });
    });

    it.each(['auto', 'wait_for', 'force'])('knows the commit %s', async (commit) => {
      expect(await post(ingest(`?commit=${commit}`), TWO)).toMatchObject({ status: 200 });
    });

    it('quotes what it rejects to the letter, with its reason, when asked for details', async () => {
      const bad = ['{"id":"é no number"}', '{"id":', '{"id":3,"other":1}'];
      const { status, body } = await post(ingest('?detailed_response=true'), `${TWO}${bad.join('\n')}\n`);
      expect([status, body['num_ingested_docs'], body['num_rejected_docs']]).toEqual([200, 2, 3]);
      const failures = body['parse_failures'] as readonly { readonly document: string; readonly reason: string }[];
      expect(failures.map(({ document, reason }) => [document, reason])).toEqual([
        [bad[0], 'invalid_schema'],
        [bad[1], 'invalid_json'],
        [bad[2], 'invalid_schema'],
      ]);
    });

    it('does not quote unasked, and answers 200 also when it rejects all', async () => {
      const { status, body } = await post(ingest(), '{"id":"x"}\n');
      expect([status, body['num_ingested_docs'], body['num_rejected_docs']]).toEqual([200, 0, 1]);
      expect(body['parse_failures']).toBeUndefined();
    });

    it('takes gzip, and refuses what is none and what it does not know', async () => {
      const gzip = { 'content-encoding': 'gzip' };
      expect(await post(ingest(), gzipSync(TWO), gzip)).toMatchObject({ status: 200, body: { num_ingested_docs: 2 } });
      expect(await post(ingest(), 'no gzip', gzip)).toMatchObject({ status: 400 });
      expect(await post(ingest(), TWO, { 'content-encoding': 'br' })).toMatchObject({ status: 415 });
    });

    it('wants a length', async () => {
      const chunks = (async function* () {
        yield Promise.resolve(TWO);
      })();
      const answer = await request(`${server.url}${ingest()}`, { method: 'POST', body: chunks as never });
      await answer.body.dump();
      expect(answer.statusCode).toBe(411);
    });

    it('refuses more than its limit by the length alone', async () => {
      const tooMuch = Buffer.alloc(10 * 1_024 * 1_024 + 1, ' ');
      expect(await post(ingest(), tooMuch).catch(() => ({ status: 413 }))).toMatchObject({ status: 413 });
    });

    it('says what is wrong with the request in a message', async () => {
      const told = { message: expect.any(String) as string };
      expect(await post(ingest('', 'baton-no-such-index'), TWO)).toEqual({ status: 404, body: told });
      expect(await post(ingest('?commit=sometime'), TWO)).toEqual({ status: 400, body: told });
    });
  });

  describe('bulk', () => {
    const actions = (...docs: readonly string[]): string => docs.map((doc) => `{"create":{}}\n${doc}\n`).join('');

    it('has an item for each document, in order, under one key', async () => {
      const { status, body } = await post(bulk(), actions('{"id":1}', '{"id":"x"}', '{"id":3}'));
      expect([status, body['errors']]).toEqual([200, true]);
      const items = body['items'] as readonly Record<string, { readonly status: number }>[];
      expect(items.map((item) => Object.values(item).map((told) => told.status))).toEqual([[201], [400], [201]]);
    });

    it.each(['', '?refresh=false', '?refresh=wait_for', '?refresh=true'])('knows refresh as in "%s"', async (query) => {
      expect(await post(bulk(query), actions('{"id":1}'))).toMatchObject({ status: 200, body: { errors: false } });
    });

    it('refuses a request whose action is malformed', async () => {
      expect(await post(bulk(), '{"update":{}}\n{"id":1}\n')).toMatchObject({ status: 400 });
    });

    it('has 404 for the items of an index that is not there', async () => {
      const { body } = await post(bulk('', 'baton-no-such-index'), actions('{"id":1}'));
      const items = body['items'] as readonly Record<string, { readonly status: number }>[];
      expect(items.map((item) => Object.values(item).map((told) => told.status))).toEqual([[404]]);
    });
  });

  describe('as the module sees it', () => {
    it.each([
      ['native', ''],
      ['bulk', '/api/v1/_elastic'],
    ] as const)('gives each document its verdict over %s', async (protocol, path) => {
      const service = startIngest(server.url + path, { protocol, index: server.index });
      const outcomes = await service.ingestBatch([{ id: 1 }, { id: 'x' }, { id: 3 }, { other: 1 }]).outcomes;
      expect(outcomes.map((one) => (one.status === 'discarded' ? one.reason : one.status))).toEqual([
        'accepted',
        'rejected',
        'accepted',
        'rejected',
      ]);
    });

    it.each([
      ['native', ''],
      ['bulk', '/api/v1/_elastic'],
    ] as const)('finds an index that is not there over %s', async (protocol, path) => {
      const service = startIngest(server.url + path, { protocol, index: 'baton-no-such-index' });
      expect(await errorOf(service.ingestSync({ id: 1 }))).toMatchObject({ reason: 'server' });
      expect(await service.health()).toMatchObject({ state: 'down', reason: 'denied' });
    });
  });
});
