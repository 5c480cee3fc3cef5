import {
  StallMeter,
  type UnreadWebhookAnswer,
  waitFor,
  type WebhookAnswer,
  WebhookReceiver,
  type WireFault,
} from '@nest-baton/testing';
import { Agent, request } from 'undici';
import { RawConnection } from './support/raw-http.js';

const MIB = 1024 * 1024;

describe('WebhookReceiver, with faults', () => {
  let receiver: WebhookReceiver;
  let dispatcher: Agent;
  const raw: RawConnection[] = [];

  beforeEach(async () => {
    receiver = await WebhookReceiver.start();
    dispatcher = new Agent();
  });

  afterEach(async () => {
    for (const connection of raw.splice(0)) connection.close();
    await receiver.stop();
    await dispatcher.destroy();
  });

  async function open(): Promise<RawConnection> {
    const connection = await RawConnection.open(receiver.url);
    raw.push(connection);
    return connection;
  }

  async function post(path = '', body = 'hello', headers: Record<string, string> = {}) {
    const answered = await request(receiver.url + path, { method: 'POST', body, headers, dispatcher });
    return {
      status: answered.statusCode,
      headers: answered.headers,
      body: Buffer.from(await answered.body.arrayBuffer()),
    };
  }

  /** The text of what is answered, up to the end of the connection, and how it ended. */
  async function rawAnswer(answer: WebhookAnswer): Promise<{ text: string; end: string }> {
    receiver.answer([answer]);
    const connection = await open();
    connection.post('/', 'hello');
    const end = await connection.ended;
    return { text: connection.text, end };
  }

  const codeOf = (failing: Promise<unknown>) =>
    failing.then(
      () => 'answered',
      (error: { code?: string; name?: string }) => error.code ?? error.name,
    );

  describe('scripts', () => {
    it('by path, by webhook-id, by whatever: each counts its own requests and goes before the one for all', async () => {
      receiver.answer({ status: 500 });
      receiver.answerWhere({ path: '/a' }, [{ status: 503 }, { status: 200 }]);
      receiver.answerWhere({ id: 'msg_1' }, { status: 410 });
      const remove = receiver.answerWhere({ matches: ({ body }) => body.toString() === 'odd' }, { status: 418 });
      const statuses = [];
      for (const [path, body, id] of [
        ['b', '', 'msg_2'],
        ['a?x=1', '', 'msg_2'],
        ['a', '', 'msg_1'],
        ['a', '', 'msg_2'],
        ['a', '', 'msg_1'],
        ['b', 'odd', 'msg_2'],
      ] as const)
        statuses.push((await post(path, body, { 'webhook-id': id })).status);
      expect(statuses).toEqual([500, 503, 200, 500, 410, 418]);
      remove();
      expect((await post('b', 'odd')).status).toBe(500);
    });

    it('a status with Retry-After, also several of them', async () => {
      receiver.answer([
        { status: 429, headers: { 'retry-after': '1.5' } },
        { status: 503, headers: { 'retry-after': ['1', '2'] } },
      ]);
      expect((await post()).headers['retry-after']).toBe('1.5');
      const { text } = await (async () => {
        const connection = await open();
        connection.post('/', 'x', { connection: 'close' });
        await connection.ended;
        return connection;
      })();
      expect(text.match(/retry-after: \d/gi)).toEqual(['retry-after: 1', 'retry-after: 2']);
    });

    it.each([
      ['to itself', (url: string) => url],
      ['to another scheme', () => 'http://169.254.169.254/latest'],
    ])('a redirect %s', async (_, to) => {
      receiver.answer({ status: 302, headers: { location: to(receiver.url) } });
      const { status, headers } = await post();
      expect([status, headers['location']]).toEqual([302, to(receiver.url)]);
      expect(receiver.requests).toHaveLength(1);
    });
  });

  describe('before the body is read', () => {
    it.each([
      ['reset', 'ECONNRESET'],
      ['close', 'fin'],
    ] as const)('hangs up (%s)', async (instead, end) => {
      receiver.answerUnread({ instead });
      const connection = await open();
      connection.post('/', '', { 'content-length': '1000000', 'webhook-id': 'msg_1' });
      expect([await connection.ended, connection.text]).toEqual([end, '']);
      expect(receiver.requests).toMatchObject([{ id: 'msg_1', isWhole: false, status: undefined }]);
    });

    it('hangs up in the middle of the body', async () => {
      receiver.answerUnread({ instead: 'reset', afterBytes: 100_000 });
      const connection = await open();
      connection.post('/', ' '.repeat(150_000), { 'content-length': '10000000' });
      expect(await connection.ended).toBe('ECONNRESET');
      expect(receiver.requests[0]?.body.length).toBeGreaterThanOrEqual(100_000);
      expect(receiver.requests[0]?.isWhole).toBe(false);
    });

    it('answers early', async () => {
      receiver.answerUnread([{ status: 200, body: 'early' }]);
      const connection = await open();
      connection.post('/', '', { 'content-length': '1000000' });
      await waitFor(() => connection.text.endsWith('early'), { description: 'the answer' });
      expect(receiver.requests[0]).toMatchObject({ status: 200, isWhole: false, body: Buffer.alloc(0) });
    });

    it.each([
      ['a request', (to: WebhookReceiver) => to.answerUnread({ instead: 'never' })],
      ['a connection', (to: WebhookReceiver) => to.greet({ kind: 'unread' })],
    ])('never reads %s: a long body cannot be sent', async (_, script) => {
      script(receiver);
      const connection = await open();
      connection.post('/', '', { 'content-length': `${16 * MIB}` });
      connection.write(Buffer.alloc(16 * MIB));
      await waitFor(() => stuck(connection), { description: 'nothing moves any more' });
      expect(connection.socket.writableLength).toBeGreaterThan(4 * MIB);
    });
  });

  describe('instead of an answer', () => {
    it.each([
      ['reset', 'ECONNRESET'],
      ['close', 'fin'],
    ] as const)('%s after reading', async (instead, end) => {
      expect(await rawAnswer({ instead })).toEqual({ text: '', end });
      expect(receiver.requests).toMatchObject([{ isWhole: true, body: Buffer.from('hello'), status: undefined }]);
    });

    it('garbage', async () => {
      expect(await rawAnswer({ wire: { kind: 'raw', bytes: '\u0000\u0001 no HTTP' } })).toEqual({
        text: '\u0000\u0001 no HTTP',
        end: 'fin',
      });
      receiver.answer({ wire: { kind: 'raw', bytes: 'HTTP/9.9 what\r\n\r\n' } });
      expect(await codeOf(post())).toBe('HTTPParserError');
    });
  });

  describe('in the answer', () => {
    it('HTTP/1.0, without a length', async () => {
      const { text, end } = await rawAnswer({ body: 'old', wire: { kind: 'http-1.0' } });
      expect([text, end]).toEqual(['HTTP/1.0 200 OK\r\n\r\nold', 'fin']);
      receiver.answer({ body: 'old', wire: { kind: 'http-1.0' } });
      expect((await post()).body.toString()).toBe('old');
    });

    it.each([
      ['fin', 'fin', 'UND_ERR_SOCKET'],
      ['reset', 'ECONNRESET', 'ECONNRESET'],
    ] as const)('half of the body, then %s', async (ends, end, code) => {
      const { text, end: ended } = await rawAnswer({ body: '0123456789', wire: { kind: 'truncate', ends } });
      expect(ended).toBe(end);
      if (ends === 'fin') expect(text).toMatch(/content-length: 10\r\n\r\n01234$/);
      receiver.answer({ body: '0123456789', wire: { kind: 'truncate', ends } });
      expect(await codeOf(post())).toBe(code);
    });

    it.each([
      ['too long', 5, 'content-length: 15', 'UND_ERR_SOCKET'],
      ['too short', -5, 'content-length: 5', 'answered'],
    ])('a length that is %s', async (_, by, header, code) => {
      const { text } = await rawAnswer({ body: '0123456789', wire: { kind: 'wrong-length', by } });
      expect(text).toContain(`${header}\r\n\r\n0123456789`);
      receiver.answer({ body: '0123456789', wire: { kind: 'wrong-length', by } });
      expect(await codeOf(post())).toBe(code);
    });

    it('drips of a body that end well', async () => {
      receiver.answer({ body: 'x'.repeat(20), wire: { kind: 'drip', part: 'body', everyMs: 3 } });
      const begun = performance.now();
      expect((await post()).body.length).toBe(20);
      expect(performance.now() - begun).toBeGreaterThan(50);
    });

    it('drips of headers that outlast the client', async () => {
      receiver.answer({ wire: { kind: 'drip', part: 'headers', everyMs: 60 } });
      const asked = request(receiver.url, { method: 'POST', body: 'x', dispatcher, signal: AbortSignal.timeout(150) });
      expect(await codeOf(asked)).toBe(23);
      await waitFor(() => receiver.openRequests === 0, { description: 'the receiver has noticed' });
      expect(receiver.requests[0]?.sentBytes).toBeLessThan(50);
    });

    it('headers that are too many for undici', async () => {
      receiver.answer({ wire: { kind: 'huge-headers' } });
      expect(await codeOf(post())).toBe('UND_ERR_HEADERS_OVERFLOW');
    });

    it('100 000 header lines for who reads them, and the answer after them', async () => {
      const { text, end } = await rawAnswer({
        body: 'end',
        wire: { kind: 'huge-headers', lines: 100_000, bytesEach: 1 },
      });
      expect(text.match(/x-filler-/g)).toHaveLength(100_000);
      expect([text.startsWith('HTTP/1.1 200 OK'), text.endsWith('\r\n\r\nend'), end]).toEqual([true, true, 'fin']);
    });

    it('a flood of 1xx, and the answer after it', async () => {
      const { text } = await rawAnswer({ status: 202, wire: { kind: 'informational-flood', count: 1000 } });
      expect(text.match(/HTTP\/1\.1 103 Early Hints/g)).toHaveLength(1000);
      expect(text).toContain('HTTP/1.1 202 Accepted');
      receiver.answer({ status: 202, wire: { kind: 'informational-flood', count: 1000 } });
      expect((await post()).status).toBe(202);
    });

    it('an answer that is compressed a thousandfold, and decompresses to zeros', async () => {
      receiver.answer({ wire: { kind: 'bomb', decompressedBytes: 64 * MIB } });
      const compressed = await post();
      expect(compressed.headers['content-encoding']).toBe('gzip');
      expect(compressed.body.length).toBeLessThan(100_000);
      const answered = await fetch(receiver.url, { method: 'POST' });
      const zeros = Buffer.alloc(MIB);
      let bytes = 0;
      for await (const piece of answered.body as unknown as AsyncIterable<Uint8Array>) {
        expect(Buffer.compare(piece, zeros.subarray(0, piece.length))).toBe(0);
        bytes += piece.length;
      }
      expect(bytes).toBe(64 * MIB);
    }, 20_000);
  });

  describe('without end', () => {
    const endless: readonly WireFault[] = [
      { kind: 'endless-body' },
      { kind: 'huge-headers' },
      { kind: 'informational-flood' },
    ];

    it.each(endless)('$kind: sends no more than the client reads, and stops when it leaves', async (wire) => {
      receiver.answer({ wire });
      const connection = await open();
      connection.socket.pause();
      connection.post('/', 'x');
      const sent = () => receiver.requests[0]?.sentBytes ?? 0;
      let before = -1;
      await waitFor(
        async () => {
          const still = sent() === before;
          before = sent();
          await new Promise((resolve) => setTimeout(resolve, 30));
          return still && before > 0;
        },
        { description: 'the sender waits' },
      );
      expect(sent()).toBeLessThan(32 * MIB);
      connection.socket.resume();
      await waitFor(() => connection.bytes > before + 4 * MIB, { description: 'it goes on when read' });
      connection.close();
      await waitFor(() => receiver.openRequests === 0, { description: 'it is given up' });
      expect(receiver.requests[0]?.answeredAt).toBeGreaterThan(0);
    });

    it('64 bodies at once cost this process little', async () => {
      receiver.answer({ wire: { kind: 'endless-body' } });
      const before = process.memoryUsage().rss;
      const connections = await Promise.all(Array.from({ length: 64 }, open));
      for (const connection of connections) {
        connection.socket.pause();
        connection.post('/', 'x');
      }
      await waitFor(() => receiver.requests.length === 64, { description: 'all have begun' });
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(process.memoryUsage().rss - before).toBeLessThan(100 * MIB);
    });
  });

  it('tells attempts, connections and times apart', async () => {
    const single = new Agent({ connections: 1 });
    const send = (id: string) =>
      request(receiver.url, { method: 'POST', body: 'x', headers: { 'webhook-id': id }, dispatcher: single }).then(
        ({ body }) => body.dump(),
      );
    receiver.answer([{ status: 500, delayMs: 30 }, undefined, { wire: { kind: 'close', announced: true } }]);
    for (const id of ['a', 'b', 'a', 'a']) await send(id);
    const shown = receiver.requests.map((one) => [
      one.id,
      one.attempt,
      one.connection,
      one.nthOnConnection,
      one.status,
    ]);
    expect(shown).toEqual([
      ['a', 1, 1, 1, 500],
      ['b', 1, 1, 2, 204],
      ['a', 2, 1, 3, 200],
      ['a', 3, 2, 1, 204],
    ]);
    expect(receiver.attemptsOf('a').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const [first] = receiver.requests;
    expect((first?.answeredAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThanOrEqual(29);
    expect([receiver.acceptedConnections, receiver.maxConcurrentRequests]).toEqual([2, 1]);
    receiver.forget();
    await send('a');
    expect(receiver.requests.map(({ attempt }) => attempt)).toEqual([1]);
    await single.destroy();
  });

  it('takes hundreds of requests on one connection without piling anything up on it', async () => {
    const warnings: string[] = [];
    const listen = ({ message }: Error) => void warnings.push(message);
    process.on('warning', listen);
    const single = new Agent({ connections: 1 });
    for (let i = 0; i < 300; i++)
      await (await request(receiver.url, { method: 'POST', body: 'x', dispatcher: single })).body.dump();
    await new Promise(setImmediate);
    process.off('warning', listen);
    expect(receiver.requests.at(-1)).toMatchObject({ connection: 1, nthOnConnection: 300 });
    expect(warnings).toEqual([]);
    await single.destroy();
  });

  it('counts how many requests were open at one time, stalled ones too', async () => {
    receiver.answer([{ instead: 'never' }, { instead: 'never' }]);
    const stalled = [codeOf(post()), codeOf(post())];
    await waitFor(() => receiver.requests.length === 2, { description: 'both came' });
    await post();
    expect([receiver.maxConcurrentRequests, receiver.openRequests]).toEqual([3, 2]);
    await receiver.stop();
    expect(await Promise.all(stalled)).toEqual(['UND_ERR_SOCKET', 'UND_ERR_SOCKET']);
  });

  it('stops at once, whatever its requests are waiting for, and leaves no timer or socket', async () => {
    const before = resources();
    const waiting: WebhookAnswer[] = [
      { instead: 'never' },
      { delayMs: 60_000 },
      { wire: { kind: 'drip', part: 'body', everyMs: 60_000 } },
      { wire: { kind: 'endless-body' } },
      { wire: { kind: 'raw', bytes: 'x', keepOpen: true } },
    ];
    const unread: readonly UnreadWebhookAnswer[] = [{ instead: 'never' }];
    receiver.answer(waiting);
    for (const _ of [...waiting, ...unread]) {
      const connection = await open();
      connection.socket.pause();
      connection.post('/', 'x');
    }
    receiver.answerUnread(unread);
    await waitFor(() => receiver.openRequests === waiting.length, { description: 'all are waiting' });
    const stalls = StallMeter.start();
    const begun = performance.now();
    await receiver.stop();
    expect(performance.now() - begun).toBeLessThan(2000 + stalls.stop());
    for (const connection of raw) connection.close();
    await waitFor(() => receiver.openRequests === 0 && receiver.openConnections === 0, {
      description: 'nothing is left',
    });
    await waitFor(() => resources() <= before, { description: 'resources are back' });
  });
});

function resources(): number {
  return process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
}

/** Whether the kernels are full: what is still to be written stays the same for 50 ms. */
async function stuck({ socket }: RawConnection): Promise<boolean> {
  const before = socket.writableLength;
  await new Promise((resolve) => setTimeout(resolve, 50));
  return before > 0 && socket.writableLength === before;
}
