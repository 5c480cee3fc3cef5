import { FakeQuickwit, type IngestFault, StallMeter, waitFor } from '@nest-baton/testing';
import { Agent, request } from 'undici';
import { RawConnection } from './support/raw-http.js';

const PATH = '/api/v1/logs/ingest';
const GOOD = '{"id":1}';
const BULK = '{"index":{"_index":"logs"}}\n{"id":1}\n{"index":{"_index":"logs"}}\n{"id":2}\n';

describe('FakeQuickwit, with faults', () => {
  let sink: FakeQuickwit;
  const raw: RawConnection[] = [];
  const agents: Agent[] = [];

  beforeEach(async () => {
    sink = await FakeQuickwit.start();
  });

  afterEach(async () => {
    for (const connection of raw.splice(0)) connection.close();
    await sink.stop();
    await Promise.all(agents.splice(0).map((agent) => agent.destroy()));
  });

  async function open(): Promise<RawConnection> {
    const connection = await RawConnection.open(sink.url);
    raw.push(connection);
    return connection;
  }

  function agent(options: Agent.Options = {}): Agent {
    const made = new Agent(options);
    agents.push(made);
    return made;
  }

  async function post(body = GOOD, path = PATH, dispatcher = agent()) {
    const answered = await request(sink.url + path, { method: 'POST', body, dispatcher });
    return { status: answered.statusCode, headers: answered.headers, text: await answered.body.text() };
  }

  const codeOf = (failing: Promise<unknown>) =>
    failing.then(
      () => 'answered',
      (error: { code?: string; name?: string }) => error.code ?? error.name,
    );
  const stored = () => sink.documents('logs').length;

  describe('before the body is read', () => {
    it('stalls: a long body cannot be sent', async () => {
      sink.failUnread({ kind: 'stall' });
      const connection = await open();
      const body = Buffer.alloc(16 * 1024 * 1024, ' ');
      connection.post(PATH, '', { 'content-length': `${body.length}` });
      connection.write(body);
      await waitFor(() => sink.requests.length === 1, { description: 'the head came' });
      await waitFor(() => stuck(connection), { description: 'nothing moves any more' });
      expect(connection.socket.writableLength).toBeGreaterThan(4 * 1024 * 1024);
      expect([sink.requests[0]?.wireBytes, connection.text]).toEqual([0, '']);
    });

    it('stalls in the middle of the body', async () => {
      sink.failUnread([{ kind: 'stall', afterBytes: 1_000_000 }]);
      const connection = await open();
      connection.post(PATH, ' '.repeat(1_500_000));
      await waitFor(() => sink.requests.length === 1, { description: 'the beginning came' });
      expect(sink.requests[0]?.wireBytes).toBeGreaterThanOrEqual(1_000_000);
      expect((await post()).status).toBe(200);
    });

    it('answers early', async () => {
      sink.failUnread([{ kind: 'status', status: 429, retryAfter: '3' }]);
      const connection = await open();
      connection.post(PATH, '', { 'content-length': '1000000' });
      await waitFor(() => connection.text.includes('\r\n\r\n'), { description: 'the answer' });
      expect(connection.text).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n[^]*retry-after: 3\r\n/);
      expect(stored()).toBe(0);
    });

    it.each([
      ['reset', 'ECONNRESET'],
      ['hang-up', 'fin'],
    ] as const)('%s: %s', async (kind, end) => {
      sink.failUnread((_request, nth) => (nth === 1 ? { kind } : undefined));
      const connection = await open();
      connection.post(PATH, '', { 'content-length': '1000000' });
      expect(await connection.ended).toBe(end);
      expect([connection.text, stored()]).toEqual(['', 0]);
    });
  });

  describe('before HTTP begins', () => {
    it('accepts and never reads, as a stopped process', async () => {
      sink.greet([{ kind: 'unread' }]);
      const connection = await open();
      connection.post(PATH, GOOD);
      connection.write(Buffer.alloc(16 * 1024 * 1024));
      await waitFor(() => stuck(connection), { description: 'nothing moves any more' });
      expect([connection.text, sink.requests]).toEqual(['', []]);
      expect((await post()).status).toBe(200);
    });

    it('reads and never answers', async () => {
      sink.greet([{ kind: 'silent' }]);
      const connection = await open();
      connection.post(PATH, GOOD);
      connection.write(Buffer.alloc(16 * 1024 * 1024));
      await waitFor(() => connection.socket.writableLength === 0, { description: 'all was taken' });
      expect([connection.text, sink.requests]).toEqual(['', []]);
    });

    it.each([
      ['reset', 'accepted', 'ECONNRESET'],
      ['reset', 'first-bytes', 'ECONNRESET'],
      ['close', 'accepted', 'fin'],
      ['close', 'first-bytes', 'fin'],
    ] as const)('%s when %s: %s', async (kind, when, end) => {
      sink.greet((nth) => (nth === 1 ? { kind, when } : undefined));
      const connection = await open();
      if (when === 'first-bytes') connection.post(PATH, GOOD);
      expect(await connection.ended).toBe(end);
      expect((await post()).status).toBe(200);
    });

    it('speaks something else', async () => {
      sink.greet([{ kind: 'garbage', bytes: '220 smtp ready\r\n' }]);
      expect(await codeOf(post())).toBe('HTTPParserError');
      sink.clearFaults();
      expect((await post()).status).toBe(200);
    });
  });

  describe('before or after storing', () => {
    it.each([
      ['before', 0],
      ['after', 1],
    ] as const)('hangs up %s it, without an answer', async (when, count) => {
      sink.fail({ kind: 'hang-up', when });
      expect(await codeOf(post())).toBe('UND_ERR_SOCKET');
      expect([stored(), sink.requests[0]?.status]).toEqual([count, undefined]);
    });

    it('is slow before it', async () => {
      sink.fail({ kind: 'slow', when: 'before', delayMs: 500 });
      const asked = post();
      await waitFor(() => sink.requests.length === 1, { description: 'the request came' });
      expect(stored()).toBe(0);
      expect((await asked).status).toBe(200);
      expect(stored()).toBe(1);
    });

    it('stores what it resets after, each time: duplicates are counted', async () => {
      sink.fail((_request, nth) => (nth % 5 === 0 ? { kind: 'reset', when: 'after' } : undefined));
      let failed = 0;
      for (let id = 0; id < 20; id++) {
        const body = JSON.stringify({ id });
        if ((await codeOf(post(body))) === 'answered') continue;
        failed++;
        await post(body);
      }
      expect(failed).toBeGreaterThanOrEqual(4);
      expect([...sink.counts('logs').values()].filter((count) => count === 2)).toHaveLength(failed);
      expect(stored()).toBe(20 + failed);
    });

    it('sheds load as the server does: 429 in one form on both routes, after 100 ms, nothing stored', async () => {
      sink.fail({ kind: 'load-shield' });
      const begun = performance.now();
      for (const path of [PATH, '/_bulk'])
        expect(await post(BULK, path)).toMatchObject({ status: 429, text: '{"message":"too many requests"}' });
      expect(performance.now() - begun).toBeGreaterThan(195);
      expect(stored()).toBe(0);
    });
  });

  describe('with impossible answers', () => {
    const table: readonly (readonly [string, IngestFault, string, number])[] = [
      ['no JSON', { kind: 'answer', body: '<html>' }, '<html>', 2],
      ['nothing', { kind: 'answer', body: '' }, '', 2],
      ['other JSON', { kind: 'answer', body: null }, 'null', 2],
      ['another status', { kind: 'answer', status: 201, body: {} }, '{}', 2],
      [
        'a success before anything is stored',
        { kind: 'answer', when: 'before', body: { errors: false } },
        '{"errors":false}',
        0,
      ],
    ];

    it.each(table)('%s', async (_, fault, text, count) => {
      sink.fail(fault);
      expect((await post(BULK, '/_bulk')).text).toBe(text);
      expect(stored()).toBe(count);
    });

    it('wrong counts', async () => {
      sink.fail({ kind: 'answer', body: (ordinary) => ({ ...ordinary, num_ingested_docs: 7 }) });
      expect(JSON.parse((await post()).text)).toEqual({
        num_docs_for_processing: 1,
        num_ingested_docs: 7,
        num_rejected_docs: 0,
      });
    });

    it('fewer items', async () => {
      sink.fail({
        kind: 'answer',
        body: ({ items, ...rest }) => ({ ...rest, items: (items as unknown[]).slice(1) }),
      });
      const { items } = JSON.parse((await post(BULK, '/_bulk')).text) as { items: unknown[] };
      expect([items.length, stored()]).toEqual([1, 2]);
    });
  });

  describe('on the wire, after storing', () => {
    it.each(['headers', 'body'] as const)('drips the %s', async (part) => {
      sink.fail({ kind: 'drip', part, everyMs: 2, bytesEach: 8 });
      const begun = performance.now();
      const { status, text } = await post();
      expect([status, JSON.parse(text)]).toEqual([200, expect.objectContaining({ num_ingested_docs: 1 })]);
      expect(performance.now() - begun).toBeGreaterThan(15);
      expect(stored()).toBe(1);
    });

    it('drips headers more slowly than the client waits', async () => {
      sink.fail({ kind: 'drip', part: 'headers', everyMs: 50 });
      // undici looks at its clock about once a second at the earliest.
      expect(await codeOf(post(GOOD, PATH, agent({ headersTimeout: 300 })))).toBe('UND_ERR_HEADERS_TIMEOUT');
      expect(stored()).toBe(1);
    });

    it('truncates the body with a reset', async () => {
      sink.fail({ kind: 'truncate', ends: 'reset' });
      const connection = await open();
      connection.post(PATH, GOOD);
      expect(await connection.ended).toBe('ECONNRESET');
      expect(stored()).toBe(1);
    });

    it.each([true, false])('closes the connection after the answer, announced: %s', async (announced) => {
      sink.fail([{ kind: 'close', announced }]);
      const connection = await open();
      connection.post(PATH, GOOD);
      expect(await connection.ended).toBe('fin');
      expect(connection.text).toContain('"num_ingested_docs":1');
      expect(/connection: close/i.test(connection.text)).toBe(announced);
    });

    it('keeps the connection after an ordinary answer', async () => {
      const dispatcher = agent({ connections: 1 });
      await post(GOOD, PATH, dispatcher);
      await post(GOOD, PATH, dispatcher);
      expect(sink.requests.map(({ connection }) => connection)).toEqual([1, 1]);
      expect(sink.acceptedConnections).toBe(1);
    });
  });

  describe('for some requests only', () => {
    const refused = { kind: 'status', status: 500 } as const;
    const cases = [
      { filter: { route: 'bulk' }, expected: [200, 500, 200] },
      { filter: { route: 'native' }, expected: [500, 200, 500] },
      { filter: { index: 'logs' }, expected: [500, 500, 200] },
      { filter: { commit: 'wait_for' }, expected: [200, 200, 500] },
      { filter: { contains: ({ id }: Readonly<Record<string, unknown>>) => id === 2 }, expected: [200, 500, 200] },
    ] as const;

    it.each(cases)('by $filter', async ({ filter, expected }) => {
      sink.failWhere(filter, refused);
      const statuses = [];
      for (const [body, path] of [
        [GOOD, PATH],
        [BULK, '/_bulk'],
        [GOOD, '/api/v1/runs/ingest?commit=wait_for'],
      ] as const)
        statuses.push((await post(body, path)).status);
      expect(statuses).toEqual(expected);
    });

    it('counts only those, goes before the script for all, and can be taken away', async () => {
      sink.fail({ kind: 'status', status: 503 });
      const remove = sink.failWhere({ index: 'runs' }, (_request, nth) =>
        nth === 2 ? refused : { kind: 'slow', delayMs: 0 },
      );
      const send = async (index: string) => (await post(GOOD, `/api/v1/${index}/ingest`)).status;
      expect([await send('logs'), await send('runs'), await send('logs'), await send('runs')]).toEqual([
        503, 200, 503, 500,
      ]);
      remove();
      expect(await send('runs')).toBe(503);
      sink.clearFaults();
      expect(await send('runs')).toBe(200);
    });
  });

  it('counts how many requests were open at one time', async () => {
    sink.holdCommits();
    const held = [1, 2, 3].map(() => post(GOOD, `${PATH}?commit=force`));
    await waitFor(() => sink.openRequests === 3, { description: 'three are open' });
    sink.releaseCommits();
    await Promise.all(held);
    await post();
    expect([sink.maxConcurrentRequests, sink.openRequests]).toEqual([3, 0]);
  });

  it('stops at once, whatever its requests and connections are waiting for', async () => {
    sink.holdCommits();
    sink.greet((nth) => (nth === 1 ? { kind: 'unread' } : nth === 2 ? { kind: 'silent' } : undefined));
    (await open()).write('x');
    (await open()).write('x');
    await open();
    const faults: IngestFault[] = [
      { kind: 'stall', when: 'after' },
      { kind: 'slow', delayMs: 60_000 },
      { kind: 'drip', part: 'headers', everyMs: 60_000 },
      { kind: 'endless-body' },
      { kind: 'informational-flood' },
      { kind: 'huge-headers' },
      { kind: 'raw', bytes: 'x', keepOpen: true },
    ];
    sink.fail(faults);
    for (const path of [...faults.map(() => PATH), `${PATH}?commit=force`]) {
      const connection = await open();
      connection.socket.pause();
      connection.post(path, GOOD);
    }
    await waitFor(() => sink.openRequests === faults.length + 1, { description: 'all are waiting' });
    const stalls = StallMeter.start();
    const begun = performance.now();
    await sink.stop();
    expect(performance.now() - begun).toBeLessThan(2000 + stalls.stop());
    await waitFor(() => sink.openRequests === 0, { description: 'nothing is left of them' });
  });
});

/** Whether the kernels are full: what is still to be written stays the same for 50 ms. */
async function stuck({ socket }: RawConnection): Promise<boolean> {
  const before = socket.writableLength;
  await new Promise((resolve) => setTimeout(resolve, 50));
  return before > 0 && socket.writableLength === before;
}
