import { systemClock } from '@nest-baton/core';
import {
  type CertificateFlaw,
  type ConnectionFault,
  StallMeter,
  waitFor,
  type WebhookAnswer,
  WebhookReceiver,
  type WebhookReceiverOptions,
} from '@nest-baton/testing';
import type { NetworkParts } from '../../libs/webhook-outbox/src/sending/guarded-connector.js';
import { HttpSender } from '../../libs/webhook-outbox/src/sending/http-sender.js';
import { OutboxWorld } from './support/outbox-world.js';
import { verifyRequests } from './support/verified-requests.js';

const LIMITS = {
  allowHttp: true,
  allowAddresses: ['127.0.0.0/8', '::1/128'],
  requestTimeoutMs: 400,
  maxResponseBytes: 4_096,
  maxConnections: 64,
};
const MiB = 1024 * 1024;
const SECRET = Buffer.alloc(32);

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function receiverOf(answer: WebhookAnswer | undefined, options: WebhookReceiverOptions = {}) {
  const receiver = await WebhookReceiver.start(options);
  ends.push(async () => {
    await receiver.stop();
    verifyRequests(receiver, { secrets: [`whsec_${SECRET.toString('base64')}`] });
  });
  receiver.answer(answer);
  return receiver;
}

function senderOf(limits: Partial<typeof LIMITS> = {}, network: NetworkParts = {}) {
  const sender = new HttpSender({ ...LIMITS, ...limits }, systemClock, network);
  ends.push(() => sender.stop());
  const send = (url: string, body = '{}') =>
    sender.send({ url, headers: {}, secrets: [SECRET], webhookId: 'msg_1', body }, new AbortController().signal);
  return { send };
}

/** What came of it, and how long it took, without the time in which this process could not run. */
async function timed<T>(doing: Promise<T>): Promise<{ answer: T; ms: number }> {
  const stalls = StallMeter.start();
  const before = performance.now();
  const answer = await doing;
  return { answer, ms: performance.now() - before - stalls.stop() };
}

describe('a request to a receiver that means harm', () => {
  it.each<[string, WebhookAnswer, object]>([
    ['drips its headers', { wire: { kind: 'drip', part: 'headers', everyMs: 20 } }, { kind: 'timeout' }],
    ['drips its body', { wire: { kind: 'drip', part: 'body', everyMs: 20 } }, { kind: 'answer', status: 200 }],
    ['sends header lines for ever', { wire: { kind: 'huge-headers' } }, { kind: 'network' }],
    ['sends 100 000 header lines', { wire: { kind: 'huge-headers', lines: 100_000 } }, { kind: 'network' }],
    ['floods with 1xx', { wire: { kind: 'informational-flood' } }, { kind: 'network' }],
    ['sends a body without end', { wire: { kind: 'endless-body' } }, { kind: 'answer', status: 200 }],
    ['fails with a body without end', { status: 500, wire: { kind: 'endless-body' } }, { kind: 'answer', status: 500 }],
    ['announces a gigabyte', { wire: { kind: 'wrong-length', by: 2 ** 30 } }, { kind: 'answer', status: 200 }],
    ['sends a bomb of gzip', { wire: { kind: 'bomb' } }, { kind: 'answer', status: 200 }],
    [
      'resets in the middle of the body',
      { wire: { kind: 'truncate', ends: 'reset' } },
      { kind: 'answer', status: 200 },
    ],
    ['hangs up in the middle of the body', { wire: { kind: 'truncate' } }, { kind: 'answer', status: 200 }],
    ['speaks HTTP/1.0', { wire: { kind: 'http-1.0' } }, { kind: 'answer', status: 200 }],
    ['speaks no HTTP', { wire: { kind: 'raw', bytes: 'SSH-2.0-OpenSSH_9.0\r\n' } }, { kind: 'network' }],
    [
      'answers with a status that is none',
      { wire: { kind: 'raw', bytes: 'HTTP/1.1 99 x\r\n\r\n' } },
      { kind: 'network' },
    ],
    [
      'switches protocols',
      { wire: { kind: 'raw', bytes: 'HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n' } },
      { kind: 'network' },
    ],
    ['closes without a word', { instead: 'close' }, { kind: 'network' }],
    ['resets', { instead: 'reset' }, { kind: 'network' }],
    ['says nothing', { instead: 'never' }, { kind: 'timeout' }],
  ])('that %s ends in time, with little read of it', async (_what, step, expected) => {
    const receiver = await receiverOf(step);
    const { answer, ms } = await timed(senderOf().send(receiver.url));
    expect(answer).toMatchObject(expected);
    expect(ms).toBeLessThan(1_500);
    if (answer.kind === 'answer') expect(answer.text.length).toBeLessThanOrEqual(LIMITS.maxResponseBytes);
    // What the kernels' buffers of both ends take at most.
    expect(receiver.requests[0]?.sentBytes ?? 0).toBeLessThan(24 * MiB);
    expect(receiver.requests).toHaveLength(1);
  });

  it('takes the words of a bomb as they are: nothing is decompressed', async () => {
    const receiver = await receiverOf({ status: 500, wire: { kind: 'bomb' } });
    const answer = await senderOf().send(receiver.url);
    expect(answer).toMatchObject({ kind: 'answer', status: 500 });
    expect(answer.kind === 'answer' && answer.text.startsWith('\u001f')).toBe(true);
  });

  it('has the beginning of its words kept, and of a success nothing; all are read up to the bound, for the connection', async () => {
    const body = '€'.repeat(20_000);
    const receiver = await receiverOf(undefined);
    receiver.answer(({ path }) => ({ status: Number(path.slice(1)), body }));
    const { send } = senderOf({ requestTimeoutMs: 5_000, maxResponseBytes: 64 * 1024, maxConnections: 1 });
    for (const status of [200, 299]) expect(await send(`${receiver.url}${status}`)).toMatchObject({ status, text: '' });
    for (const status of [302, 404, 500]) {
      const answer = await send(`${receiver.url}${status}`);
      expect(answer).toMatchObject({ kind: 'answer', status });
      // More than is stored, and little more.
      expect(answer.kind === 'answer' && answer.text.slice(0, 1_000)).toBe('€'.repeat(1_000));
      expect(answer.kind === 'answer' && answer.text.length).toBeLessThan(2_000);
    }
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 1, 1, 1, 1]);
  });

  it('may be answered before it was read: the status stands, and the connection is not used again', async () => {
    const receiver = await receiverOf(undefined);
    receiver.answerUnread([{ status: 200, body: 'early' }]);
    const { send } = senderOf();
    const body = JSON.stringify('x'.repeat(8 * MiB));
    expect(await send(receiver.url, body)).toMatchObject({ kind: 'answer', status: 200 });
    expect(await send(receiver.url)).toMatchObject({ kind: 'answer', status: 204 });
    expect(receiver.requests.map(({ connection }) => connection)).toEqual([1, 2]);
    expect(receiver.requests[1]!.isWhole).toBe(true);
  });

  it('is a timeout when the receiver reads none of it', async () => {
    const receiver = await receiverOf(undefined);
    receiver.greet({ kind: 'unread' });
    const { answer, ms } = await timed(senderOf().send(receiver.url, JSON.stringify('x'.repeat(8 * MiB))));
    expect(answer).toEqual({ kind: 'timeout' });
    expect(ms).toBeLessThan(1_500);
  });

  it('leaves others alone: sixty-four endless bodies and a good receiver', async () => {
    const good = await receiverOf(undefined);
    const bad = await receiverOf({ wire: { kind: 'endless-body' } });
    const { send } = senderOf({ requestTimeoutMs: 5_000, maxResponseBytes: 64 * 1024 });
    // Both ends are in this process, so this is more than the sender's part.
    await Promise.all(Array.from({ length: 64 }, () => send(bad.url)));
    const before = process.memoryUsage().rss;
    let most = before;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
    const answers = Promise.all(Array.from({ length: 64 }, (_, nth) => send(`${bad.url}${nth}`)));
    expect(await send(good.url)).toMatchObject({ status: 204 });
    for (const answer of await answers) expect(answer).toMatchObject({ kind: 'answer', status: 200 });
    clearInterval(look);
    expect((most - before) / MiB).toBeLessThan(50);
  });
});

describe('TLS that is not right', () => {
  const AUTHORITY = 'the authority of this test is trusted';

  it(`is told from TLS that is: ${AUTHORITY}`, async () => {
    const receiver = await receiverOf(undefined, { tls: true });
    expect(await senderOf({}, { ca: receiver.ca }).send(receiver.url)).toMatchObject({ kind: 'answer', status: 204 });
    expect(await senderOf().send(receiver.url)).toMatchObject({ kind: 'network' });
    expect(receiver.requests).toHaveLength(1);
  });

  it.each<[CertificateFlaw, RegExp]>([
    ['expired', /expired/i],
    ['not-yet-valid', /not yet valid/i],
    ['wrong-host', /altname|does not match/i],
    ['self-signed', /self.signed/i],
    ['unknown-authority', /unable to (verify|get)/i],
  ])('gets no request: a certificate that is %s', async (tls, words) => {
    const receiver = await receiverOf(undefined, { tls });
    const answer = await senderOf({}, { ca: receiver.ca }).send(receiver.url);
    expect(answer).toMatchObject({ kind: 'network', error: expect.stringMatching(words) });
    expect(receiver.requests).toHaveLength(0);
  });

  it.each<[string, ConnectionFault, string]>([
    ['hangs', { kind: 'silent' }, 'timeout'],
    ['is reset', { kind: 'reset', when: 'first-bytes' }, 'network'],
    ['is garbage', { kind: 'garbage', bytes: 'HTTP/1.1 200 OK\r\n\r\n' }, 'network'],
    ['is not there', { kind: 'plain' }, 'network'],
  ])('gets no request: a handshake that %s', async (_what, fault, kind) => {
    const receiver = await receiverOf(undefined, { tls: true });
    receiver.greet(fault);
    const { answer, ms } = await timed(senderOf({}, { ca: receiver.ca }).send(receiver.url));
    expect(answer).toMatchObject({ kind });
    expect(ms).toBeLessThan(1_500);
    expect(receiver.requests).toHaveLength(0);
  });
});

describe('an answer that leads elsewhere', () => {
  it.each([300, 301, 302, 303, 304, 305, 307, 308])('fails the delivery after one request: %i', async (status) => {
    const inside = await receiverOf(undefined);
    const receiver = await receiverOf(undefined);
    const targets = [
      inside.url,
      receiver.url,
      'http://169.254.169.254/',
      inside.url.replace('http', 'https'),
      '//x',
      '',
      undefined,
    ];
    const { send } = senderOf();
    for (const location of targets) {
      receiver.answer({ status, headers: location === undefined ? {} : { location } });
      expect(await send(receiver.url)).toMatchObject({ kind: 'answer', status });
    }
    expect(receiver.requests).toHaveLength(targets.length);
    expect(inside.acceptedConnections).toBe(0);
  });

  it('is no answer to follow when its words ask for it, or its headers', async () => {
    const inside = await receiverOf(undefined);
    const { url } = inside;
    const refresh = `<meta http-equiv="refresh" content="0;url=${url}"><script>location='${url}'</script>`;
    const headers = {
      refresh: `0;url=${url}`,
      'content-location': url,
      link: `<${url}>; rel=preload`,
      'alt-svc': `h2="${new URL(url).host}"`,
    };
    const receiver = await receiverOf({ status: 200, headers, body: refresh });
    const { send } = senderOf();
    for (let times = 0; times < 2; times++) expect(await send(receiver.url)).toMatchObject({ status: 200 });
    expect(receiver.requests).toHaveLength(2);
    expect(inside.acceptedConnections).toBe(0);
  });
});

describe('what a receiver says', () => {
  let world: OutboxWorld;
  beforeEach(async () => void (world = await OutboxWorld.create()));
  afterEach(() => world.stop());

  it('is stored and shown without harm, whatever its bytes are', async () => {
    const bodies: [Buffer, string][] = [
      [Buffer.from('a\u0000b'), 'a b'],
      [Buffer.from([0xed, 0xa0, 0x80, 0x61]), '\ufffd\ufffd\ufffda'],
      [Buffer.from([0xff, 0xfe, 0xc3, 0x28]), '\ufffd\ufffd\ufffd('],
      [Buffer.from('\u001b]0;title\u0007\u001b[2Jx\u009b31mred'), ']0;title [2Jx 31mred'],
      [Buffer.from('one\r\nlevel=error two'), 'one level=error two'],
      [Buffer.from('<script>alert(1)</script>'), '<script>alert(1)</script>'],
      [Buffer.from(`${'x'.repeat(999)}😀y`), `${'x'.repeat(999)}\ufffd`],
      [Buffer.alloc(0), ''],
    ];
    world.receiver.answer(({ path }) => ({ status: 400, body: bodies[Number(path.slice(1))]![0] }));
    const app = await world.start();
    for (const nth of bodies.keys()) await world.endpoint(app, String(nth), { types: [`t${nth}`] });
    for (const nth of bodies.keys()) await app.outbox.send({ type: `t${nth}`, data: 1 });
    const rows = await world.settled(bodies.length);
    const told = new Map(rows.map(({ type, state, last_error }) => [type, [state, last_error ?? '']]));
    for (const [nth, [, text]] of bodies.entries()) expect(told.get(`t${nth}`)).toEqual(['failed', text]);
  });

  it.each([
    ['abort-message', { state: 'failed' }, 'active'],
    ['ABORT-Message', { state: 'failed' }, 'active'],
    ['disable', { state: 'failed' }, 'disabled'],
  ])('in webhook-delivery ends the delivery: %s', async (control, row, endpoint) => {
    world.receiver.answer({ status: 503, headers: { 'Webhook-Delivery': control } });
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    expect(await world.settled(1)).toMatchObject([{ ...row, attempts: 1, last_status: 503 }]);
    const look = async () =>
      (await world.admin.query<{ state: string }>('SELECT state FROM baton.webhook_endpoints')).rows[0]?.state;
    await waitFor(async () => (await look()) === endpoint, { description: `an endpoint that is ${endpoint}` });
    expect(world.requests('x')).toHaveLength(1);
  });

  it('in an odd Retry-After is as good as nothing, and the next attempt follows the schedule', async () => {
    const odd = ['-5', '1.5', 'soon', 'Mon, 01 Jan 2024 00:00:00 GMT', '', ['-1', '3600']];
    world.receiver.answer((_request, nth) => ({ status: 503, headers: { 'retry-after': odd[nth - 1] ?? '' } }));
    const app = await world.start({
      schedule: Array.from({ length: odd.length - 1 }, () => '10ms' as const),
      breakerFailures: 0,
    });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    expect(await world.settled(1)).toMatchObject([{ state: 'dead', attempts: odd.length }]);
  });

  it('in a Retry-After of twenty digits or of the year 9999 is capped', async () => {
    world.receiver.answer((_request, nth) => ({
      status: 503,
      headers: { 'retry-after': nth === 1 ? '9'.repeat(20) : 'Fri, 31 Dec 9999 23:59:59 GMT' },
    }));
    const app = await world.start({ schedule: ['10ms', '10ms'], retryAfterCap: '300ms' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const requests = await world.received('x', 3);
    expect(requests[1]!.receivedAt - requests[0]!.receivedAt).toBeGreaterThanOrEqual(300);
    expect(requests[2]!.receivedAt - requests[1]!.receivedAt).toBeGreaterThanOrEqual(300);
    expect(requests[2]!.receivedAt - requests[0]!.receivedAt).toBeLessThan(8_000);
  });
});
