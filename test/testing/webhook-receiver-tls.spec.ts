import * as https from 'node:https';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import {
  type CertificateFlaw,
  StallMeter,
  waitFor,
  WebhookReceiver,
  type WebhookReceiverOptions,
} from '@nest-baton/testing';
import { Agent, request } from 'undici';
import { RawConnection } from './support/raw-http.js';

describe('WebhookReceiver, with TLS', () => {
  const cleanups: (() => Promise<unknown> | void)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function start(options: WebhookReceiverOptions = { tls: true }): Promise<WebhookReceiver> {
    const receiver = await WebhookReceiver.start(options);
    cleanups.push(() => receiver.stop());
    return receiver;
  }

  /** With node:https and no keep-alive. Resolves with the status, or the error's code. */
  async function post(
    receiver: WebhookReceiver,
    { ca = receiver.ca, host = '127.0.0.1', body = 'hello' } = {},
  ): Promise<number | string> {
    const { port } = new URL(receiver.url);
    const sent = https.request({ host, port, method: 'POST', ca, agent: false }).end(body);
    sent.on('error', () => undefined);
    try {
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      response.resume();
      await once(response, 'end');
      return response.statusCode ?? 0;
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  }

  it('is trusted by who trusts its authority, by address and by name, and by nobody else', async () => {
    const receiver = await start();
    expect(receiver.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/$/);
    expect(receiver.ca).toMatch(/^-----BEGIN CERTIFICATE-----/);
    expect(await post(receiver)).toBe(204);
    expect(await post(receiver, { host: 'localhost' })).toBe(204);
    expect(await post(receiver, { ca: '' })).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(receiver.requests.map(({ body }) => body.toString())).toEqual(['hello', 'hello']);
  });

  it('has the same authority as the other receivers of the process, and none without TLS', async () => {
    const [one, other, plain] = [await start(), await start(), await start({})];
    expect([one.ca === other.ca, plain.ca]).toEqual([true, undefined]);
  });

  const flaws: readonly (readonly [CertificateFlaw, string])[] = [
    ['expired', 'CERT_HAS_EXPIRED'],
    ['not-yet-valid', 'CERT_NOT_YET_VALID'],
    ['wrong-host', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['unknown-authority', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ];

  it.each(flaws)('%s: %s, and nothing else is wrong', async (tls, code) => {
    const receiver = await start({ tls });
    expect(await post(receiver)).toBe(code);
    const { port } = new URL(receiver.url);
    const lax = https
      .request({ host: '127.0.0.1', port, method: 'POST', agent: false, rejectUnauthorized: false })
      .end('x');
    const [response] = (await once(lax, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(204);
    expect(receiver.requests).toHaveLength(1);
  });

  it('keeps connections alive, and numbers them', async () => {
    const receiver = await start();
    const dispatcher = new Agent({ connections: 1, connect: { ca: receiver.ca } });
    cleanups.push(() => dispatcher.destroy());
    for (let i = 0; i < 3; i++)
      await (await request(receiver.url, { method: 'POST', body: 'x', dispatcher })).body.dump();
    expect(receiver.requests.map(({ connection, nthOnConnection }) => [connection, nthOnConnection])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
    ]);
  });

  describe('in the handshake', () => {
    it.each([
      ['reset', 'accepted'],
      ['reset', 'first-bytes'],
    ] as const)('%s when %s', async (kind, when) => {
      const receiver = await start();
      receiver.greet([{ kind, when }]);
      expect(await post(receiver)).toBe('ECONNRESET');
      expect(await post(receiver)).toBe(204);
      expect(receiver.requests).toHaveLength(1);
    });

    it.each(['accepted', 'first-bytes'] as const)('closes when %s', async (when) => {
      const receiver = await start();
      receiver.greet([{ kind: 'close', when }]);
      expect(await post(receiver)).toBe('ECONNRESET');
      expect(await post(receiver)).toBe(204);
    });

    it.each(['silent', 'unread'] as const)('hangs (%s)', async (kind) => {
      const receiver = await start();
      receiver.greet({ kind });
      const { port } = new URL(receiver.url);
      const socket: TLSSocket = connectTls({ host: '127.0.0.1', port: Number(port), ca: receiver.ca });
      cleanups.push(() => void socket.destroy());
      let isSecure = false;
      socket.once('secureConnect', () => (isSecure = true));
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect([isSecure, receiver.openConnections, receiver.requests]).toEqual([false, 1, []]);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      await receiver.stop();
      await closed;
    });

    it('speaks HTTP without TLS, or nothing that is known', async () => {
      const receiver = await start();
      receiver.greet([{ kind: 'plain' }, { kind: 'garbage', bytes: 'SSH-2.0-nothing\r\n' }]);
      expect(await post(receiver)).toMatch(/^(EPROTO|ERR_SSL_)/);
      expect(await post(receiver)).toMatch(/^(EPROTO|ERR_SSL_)/);
      receiver.greet([{ kind: 'plain' }]);
      const connection = await RawConnection.open(receiver.url);
      cleanups.push(() => connection.close());
      connection.post('/', 'plain');
      await waitFor(() => connection.text.startsWith('HTTP/1.1 204'), { description: 'it speaks HTTP' });
      expect(receiver.requests.map(({ body }) => body.toString())).toEqual(['plain']);
    });
  });

  it('has the same faults as without TLS', async () => {
    const receiver = await start();
    receiver.answer([
      { instead: 'reset' },
      { instead: 'close' },
      { wire: { kind: 'raw', bytes: 'no HTTP' } },
      { wire: { kind: 'drip', part: 'headers', everyMs: 1 } },
      { wire: { kind: 'truncate', ends: 'reset' } },
    ]);
    const outcomes = [];
    for (let i = 0; i < 5; i++) outcomes.push(await post(receiver));
    expect(outcomes.slice(0, 4)).toEqual(['ECONNRESET', 'ECONNRESET', 'HPE_INVALID_CONSTANT', 200]);
    expect(outcomes[4]).toMatch(/ECONNRESET/);
    receiver.answerUnread([{ instead: 'reset' }]);
    expect(await post(receiver)).toBe('ECONNRESET');
    expect(receiver.requests).toHaveLength(6);
  });

  it('stops at once with a handshake that hangs, an idle connection, and an endless body', async () => {
    const receiver = await start();
    const dispatcher = new Agent({ connect: { ca: receiver.ca } });
    cleanups.push(() => dispatcher.destroy());
    receiver.answer([undefined, { wire: { kind: 'endless-body' } }]);
    await (await request(receiver.url, { method: 'POST', body: 'x', dispatcher })).body.dump();
    const { body } = await request(receiver.url, { method: 'POST', body: 'x', dispatcher });
    body.on('error', () => undefined);
    receiver.greet({ kind: 'silent' });
    const half = await RawConnection.open(receiver.url);
    half.write('x');
    await waitFor(() => receiver.openConnections >= 2 && receiver.openRequests === 1, { description: 'all are there' });
    const stalls = StallMeter.start();
    const begun = performance.now();
    await receiver.stop();
    await receiver.stop();
    expect(performance.now() - begun).toBeLessThan(2000 + stalls.stop());
    await half.ended;
    await waitFor(() => receiver.openRequests === 0, { description: 'nothing is left' });
  });
});
