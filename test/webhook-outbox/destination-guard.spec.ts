import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@nest-baton/core';
import type { NetworkParts } from '../../libs/webhook-outbox/src/sending/guarded-connector.js';
import { HttpSender } from '../../libs/webhook-outbox/src/sending/http-sender.js';
import type { Resolve } from '../../libs/webhook-outbox/src/sending/resolving.js';
import { StallMeter, waitFor } from '@nest-baton/testing';
import { OutboxWorld } from './support/outbox-world.js';
import { type SignedRequest, verifyRequests } from './support/verified-requests.js';

const OPTIONS = {
  allowHttp: true,
  allowAddresses: [] as string[],
  requestTimeoutMs: 1_000,
  maxResponseBytes: 4_096,
  maxConnections: 4,
};

const SECRET = Buffer.alloc(32);

const received: SignedRequest[] = [];
const servers: Server[] = [];
const senders: HttpSender[] = [];
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  verifyRequests({ requests: received.splice(0) }, { secrets: [`whsec_${SECRET.toString('base64')}`] });
});

async function serve(answer: (response: ServerResponse, path: string) => void) {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      received.push({ path, headers, body: Buffer.concat(pieces), isWhole: true, receivedAt: Date.now() });
      answer(response, path);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { paths, port: (server.address() as AddressInfo).port };
}

function sender(options: Partial<typeof OPTIONS> = {}, resolve?: Resolve, more: NetworkParts = {}) {
  const made = new HttpSender({ ...OPTIONS, ...options }, systemClock, { resolve, ...more });
  senders.push(made);
  return made;
}

function send(from: HttpSender, url: string) {
  const request = { url, headers: {}, secrets: [SECRET], webhookId: 'msg_1', body: '{}' };
  return from.send(request, new AbortController().signal);
}

/** Answers with one list of addresses after the other, and counts. */
function scripted(...answers: string[][]): { resolve: Resolve; asked: () => number } {
  let asked = 0;
  const resolve: Resolve = (_name, done) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)] ?? [];
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { resolve, asked: () => asked };
}

describe('the destination guard', () => {
  it('dials the address that it checked: a name that changes its address afterwards gains nothing', async () => {
    const { paths, port } = await serve((response) => response.end());
    // The first answer is the one that is checked and dialled; the second, were it asked for, would be inside.
    const names = scripted(['127.0.0.1'], ['10.0.0.1']);
    const from = sender({ allowAddresses: ['127.0.0.0/8'] }, names.resolve);
    expect(await send(from, `http://rebinding.test:${port}/a`)).toMatchObject({ kind: 'answer', status: 200 });
    expect(names.asked()).toBe(1);
    expect(paths).toEqual(['/a']);
    const inside = sender({}, scripted(['127.0.0.1']).resolve);
    expect(await send(inside, `http://rebinding.test:${port}/b`)).toMatchObject({ kind: 'refused' });
    expect(paths).toEqual(['/a']);
  });

  it('refuses a name as soon as one of its addresses is refused', async () => {
    const { paths, port } = await serve((response) => response.end());
    const mixed = sender({}, scripted(['93.184.216.34', '127.0.0.1']).resolve);
    expect(await send(mixed, `http://mixed.test:${port}/`)).toMatchObject({ kind: 'refused' });
    const none = sender({}, scripted([]).resolve);
    expect(await send(none, `http://none.test:${port}/`)).toMatchObject({ kind: 'refused' });
    expect(paths).toEqual([]);
  });

  it.each([
    'localhost',
    'localhost.',
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '127.1',
    '0',
    '[::1]',
    '[::ffff:127.0.0.1]',
  ])('refuses %s, where a server listens', async (host) => {
    const { paths, port } = await serve((response) => response.end());
    const { kind } = await send(sender(), `http://${host}:${port}/`);
    // Not every resolver knows the name with the dot; what does not resolve is not dialled either.
    expect(host === 'localhost.' ? ['refused', 'network'] : ['refused']).toContain(kind);
    expect(paths).toEqual([]);
  });

  it.each([
    ['an address inside', ['10.0.0.1']],
    ['metadata', ['169.254.169.254']],
    ['IPv6 alone, inside', ['fd00::1']],
    ['loopback of IPv6', ['::1']],
    ['a public and a private one of IPv6', ['2606:4700::1111', 'fe80::1']],
    ['the private one last', ['93.184.216.34', '93.184.216.35', '192.168.0.1']],
    ['IPv4 mapped into IPv6', ['::ffff:127.0.0.1']],
    ['IPv4-compatible', ['::7f00:1']],
    ['NAT64', ['64:ff9b::7f00:1']],
    ['local NAT64', ['64:ff9b:1::7f00:1']],
    ['6to4', ['2002:7f00:1::']],
    ['Teredo', ['2001:0:4136:e378:8000:63bf:80ff:fffe']],
    ['no address at all', ['not an address']],
  ])('refuses a name that resolves to %s, before it dials', async (_what, addresses) => {
    const { paths, port } = await serve((response) => response.end());
    for (const name of ['inside.test', 'inside.test.', 'localhost.', 'xn--inside-9ta.test']) {
      const answer = await send(sender({}, scripted(addresses).resolve), `http://${name}:${port}/`);
      expect(answer).toMatchObject({ kind: 'refused' });
    }
    expect(paths).toEqual([]);
  });

  it('asks again for each connection: the one that is open stays at its address, the next is refused', async () => {
    const { port, paths } = await serve((response, path) =>
      response.setHeader('connection', path === '/b' ? 'close' : 'keep-alive').end(),
    );
    const names = scripted(['127.0.0.1'], ['10.0.0.1']);
    const from = sender({ allowAddresses: ['127.0.0.0/8'] }, names.resolve);
    for (const path of ['a', 'b']) {
      expect(await send(from, `http://moving.test:${port}/${path}`)).toMatchObject({ kind: 'answer', status: 200 });
      expect(names.asked()).toBe(1);
      // The pool takes the connection back a moment after the answer.
      await new Promise(setImmediate);
    }
    expect(await send(from, `http://moving.test:${port}/c`)).toMatchObject({ kind: 'refused' });
    expect([names.asked(), paths]).toEqual([2, ['/a', '/b']]);
  });

  it('shares one connection between names only when they are one name', async () => {
    const { port, paths } = await serve((response) => response.end());
    const asked: string[] = [];
    const resolve: Resolve = (name, done) => {
      asked.push(name);
      done(null, [{ address: name === 'good.test' ? '127.0.0.1' : '10.0.0.1', family: 4 }]);
    };
    const from = sender({ allowAddresses: ['127.0.0.0/8'] }, resolve);
    expect(await send(from, `http://good.test:${port}/a`)).toMatchObject({ status: 200 });
    expect(await send(from, `http://evil.test:${port}/b`)).toMatchObject({ kind: 'refused' });
    expect([asked, paths]).toEqual([['good.test', 'evil.test'], ['/a']]);
  });

  it('does not wait for a resolver that says nothing, and asks it once at a time', async () => {
    const { port, paths } = await serve((response) => response.end());
    const silent: ((address: string) => void)[] = [];
    const resolve: Resolve = (_name, done) => silent.push((address) => done(null, [{ address, family: 4 }]));
    const from = sender({ allowAddresses: ['127.0.0.0/8'] }, resolve, { resolveTimeoutMs: 100 });
    const url = `http://silent.test:${port}/`;
    const stalls = StallMeter.start();
    const before = performance.now();
    const answers = await Promise.all([send(from, url), send(from, url), send(from, url)]);
    expect(performance.now() - before).toBeLessThan(900 + stalls.stop());
    for (const answer of answers)
      expect(answer).toMatchObject({ kind: 'network', error: expect.stringContaining('within 100 ms') });
    expect(silent).toHaveLength(1);
    // What comes too late is nobody's answer; the next request asks again.
    silent[0]!('127.0.0.1');
    const again = send(from, url);
    await waitFor(() => silent.length === 2, { description: 'another question' });
    silent[1]!('127.0.0.1');
    expect(await again).toMatchObject({ kind: 'answer', status: 200 });
    expect(paths).toEqual(['/']);
  });

  it('refuses at registration what the URL alone gives away, and again before dialling what was stored otherwise', async () => {
    const world = await OutboxWorld.create();
    const app = await world.start({ allowHttp: false, allowAddresses: [] });
    const { port } = new URL(world.receiver.url);
    const hosts = ['127.0.0.1', '2130706433', '0x7f.1', '017700000001', '127.1', '0', '１２７.０.０.１', '[::1]'];
    const embedded = ['[::ffff:127.0.0.1]', '[::7f00:1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '169.254.169.254'];
    const urls = [
      ...[...hosts, ...embedded].flatMap((host) => [`https://${host}/`, `https://${host}.:${port}/`]),
      ...[22, 25, 6379].map((refused) => `https://example.com:${refused}/`),
      ...['https://user:geheim@example.com/', 'https://geheim@example.com/', 'http://example.com/'],
      ...['http+unix://%2Fvar%2Frun%2Fdocker.sock/x', 'unix:/var/run/docker.sock', 'ftp://example.com/', 'gopher://x/'],
    ];
    for (const url of urls) {
      const refused = app.endpoints.create({ url });
      await expect(refused).rejects.toMatchObject({ code: 'ENDPOINT_INVALID' });
      await expect(refused).rejects.not.toThrow(/geheim/);
    }
    expect((await world.admin.query('SELECT 1 FROM baton.webhook_endpoints')).rows).toEqual([]);
    const { id } = await app.endpoints.create({ url: 'https://example.com/' });
    await world.admin.query('UPDATE baton.webhook_endpoints SET url = $2, version = version + 1 WHERE id = $1', [
      id,
      `http://127.0.0.1:${port}/x`,
    ]);
    await app.outbox.send({ type: 'a', data: 1 });
    expect(await world.settled(1)).toMatchObject([{ state: 'failed', reason: 'refused-destination' }]);
    expect(world.receiver.acceptedConnections).toBe(0);
    await world.stop();
  });

  it('settles a delivery as failed when its endpoint resolves inside', async () => {
    const world = await OutboxWorld.create();
    const app = await world.start({ allowAddresses: [] });
    const { port } = new URL(world.receiver.url);
    await app.endpoints.create({ url: `http://localhost:${port}/x` });
    await expect(app.endpoints.create({ url: `http://127.0.0.1:${port}/x` })).rejects.toMatchObject({
      code: 'ENDPOINT_INVALID',
    });
    await app.outbox.send({ type: 'a', data: 1 });
    expect(await world.settled(1)).toMatchObject([{ state: 'failed', reason: 'refused-destination', attempts: 1 }]);
    expect(world.receiver.requests).toHaveLength(0);
    await world.stop();
  });
});

describe('an answer that is meant to hurt', () => {
  const LOOPBACK = { allowAddresses: ['127.0.0.0/8'] };

  it('is not followed to where it redirects', async () => {
    const { paths, port } = await serve((response) => {
      response.writeHead(307, { location: '/inside' }).end();
    });
    expect(await send(sender(LOOPBACK), `http://127.0.0.1:${port}/a`)).toMatchObject({ status: 307 });
    expect(paths).toEqual(['/a']);
  });

  it('is cut when its body never ends', async () => {
    let written = 0;
    const { port } = await serve((response) => {
      const pump = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 65))) written += 65_536;
        if (!response.destroyed) response.once('drain', pump);
      };
      pump();
    });
    const answer = await send(sender(LOOPBACK), `http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', status: 200, text: '' });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  it('is cut by the deadline when its body drips; the status stands', async () => {
    const { port } = await serve((response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(drip));
    });
    const stalls = StallMeter.start();
    const before = performance.now();
    const answer = await send(sender({ ...LOOPBACK, requestTimeoutMs: 300 }), `http://127.0.0.1:${port}/`);
    expect(performance.now() - before).toBeLessThan(900 + stalls.stop());
    expect(answer).toMatchObject({ kind: 'answer', status: 200 });
  });

  it('is a timeout when its headers never come', async () => {
    const { port } = await serve(() => undefined);
    expect(await send(sender({ ...LOOPBACK, requestTimeoutMs: 200 }), `http://127.0.0.1:${port}/`)).toEqual({
      kind: 'timeout',
    });
  });
});
