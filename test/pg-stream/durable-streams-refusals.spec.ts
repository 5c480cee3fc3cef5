import { ForbiddenException, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { DurableStreamsModule } from '@nest-baton/pg-stream/durable-streams';
import { PgStreamModule } from '@nest-baton/pg-stream';
import { FaultProxy, hintsUnderTest, waitFor } from '@nest-baton/testing';
import { connect, type Socket } from 'node:net';
import { DurableStreamsApp } from './support/durable-streams-app.js';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let served: DurableStreamsApp;
beforeAll(async () => {
  world = await StreamsWorld.create();
  served = await DurableStreamsApp.create(world.url, { maxBodyBytes: 100_000 }, '127.0.0.1', {
    maxChunkBytes: 1_000,
    lockTimeout: '100ms',
  });
});
afterAll(async () => {
  await DurableStreamsApp.stopAll();
  await world.stop();
});

const TEXT_TYPE = { 'content-type': 'text/plain' };
const JSON_TYPE = { 'content-type': 'application/json' };

interface Asked {
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly on?: DurableStreamsApp;
}

async function ask(method: string, path: string, { headers = {}, body, on = served }: Asked = {}): Promise<Response> {
  return fetch(`${on.url}/v1/stream/${path}`, { method, headers, ...(body !== undefined && { body }) });
}

/** Status and code, with what each refusal has: no cache keeps it, and nobody runs it. */
async function refusalOf(asked: Promise<Response>): Promise<[number, string, string | null]> {
  const response = await asked;
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(response.headers.get('content-type')).toBe('application/json');
  const { code } = (await response.json()) as { code: string };
  return [response.status, code, response.headers.get('retry-after')];
}

describe('a refusal', () => {
  it('is 413 for a chunk or a message larger than maxChunkBytes, and nothing of the others is stored', async () => {
    await ask('PUT', 'text', { headers: TEXT_TYPE });
    const large = 'x'.repeat(1_001);
    expect(await refusalOf(ask('POST', 'text', { headers: TEXT_TYPE, body: large }))).toEqual([
      413,
      'CHUNK_TOO_LARGE',
      null,
    ]);
    await ask('PUT', 'json', { headers: JSON_TYPE });
    const body = JSON.stringify(['small', large]);
    expect((await refusalOf(ask('POST', 'json', { headers: JSON_TYPE, body })))[0]).toBe(413);
    expect((await refusalOf(ask('PUT', 'new', { headers: TEXT_TYPE, body: large })))[0]).toBe(413);
    expect(await (await ask('GET', 'json')).json()).toEqual([]);
    expect((await ask('HEAD', 'new')).status).toBe(404);
  });

  it('is 409 for a closed stream, also for one that the application has closed as failed', async () => {
    await served.streams.append('failed', 'a');
    await served.streams.closeStream('failed', { status: 'error', message: 'x' });
    const octets = { 'content-type': 'application/octet-stream' };
    const response = await ask('POST', 'failed', { headers: octets, body: 'b' });
    expect([response.status, response.headers.get('stream-closed'), await response.json()]).toMatchObject([
      409,
      'true',
      { code: 'STREAM_CLOSED' },
    ]);
  });

  it('is 400 for a name that no stream can have, and for an offset that none has given', async () => {
    await served.streams.append('there', 'a');
    expect(await refusalOf(ask('PUT', `%00x`))).toEqual([400, 'STREAM_NAME_INVALID', null]);
    expect(await refusalOf(ask('GET', 'x'.repeat(513)))).toEqual([400, 'STREAM_NAME_INVALID', null]);
    expect(await refusalOf(ask('GET', 'there?offset=1:2'))).toEqual([400, 'BAD_REQUEST', null]);
    const ahead = `${'1'.padStart(16, '0')}_${'9'.padStart(16, '0')}`;
    expect((await ask('GET', `there?offset=${ahead}`)).status).toBeGreaterThanOrEqual(400);
  });

  it('is 503, with when to come back, while a transaction of somebody else holds the stream', async () => {
    await ask('PUT', 'held', { headers: TEXT_TYPE, body: 'a' });
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`SELECT FROM baton.streams WHERE name = 'held' FOR UPDATE`);
    const busy = [503, 'STREAM_BUSY', '1'];
    expect(await refusalOf(ask('POST', 'held', { headers: TEXT_TYPE, body: 'b' }))).toEqual(busy);
    expect(await refusalOf(ask('POST', 'held', { headers: { 'stream-closed': 'true' } }))).toEqual(busy);
    expect(await refusalOf(ask('DELETE', 'held'))).toEqual(busy);
    const fork = { 'stream-forked-from': '/v1/stream/held' };
    expect(await refusalOf(ask('PUT', 'fork', { headers: fork }))).toEqual(busy);
    expect(await (await ask('GET', 'held')).text()).toBe('a');
    await client.query('COMMIT');
    expect((await ask('POST', 'held', { headers: TEXT_TYPE, body: 'b' })).status).toBe(204);
  });

  it('is 503 while Postgres is away, and the next request after it finds everything', async () => {
    const path = await FaultProxy.start({ target: world.url });
    const away = await DurableStreamsApp.create(path.url, {}, '127.0.0.1', { startup: 'degrade' });
    try {
      await ask('PUT', 'away', { headers: TEXT_TYPE, body: 'a', on: away });
      path.blackHole({ newConnections: 'refuse' });
      path.cut();
      for (const method of ['GET', 'HEAD', 'DELETE', 'POST', 'PUT']) {
        const more = method === 'POST' || method === 'PUT' ? { headers: TEXT_TYPE, body: 'b' } : {};
        const response = await ask(method, 'away', { ...more, on: away });
        expect([method, response.status, response.headers.get('retry-after')]).toEqual([method, 503, '1']);
      }
      await path.heal();
      await waitFor(async () => (await ask('GET', 'away', { on: away })).status === 200, {
        timeoutMs: 8_000,
        description: 'Postgres to be back',
      });
      expect(await (await ask('GET', 'away', { on: away })).text()).toBe('a');
    } finally {
      await path.heal();
      await away.stop();
      await path.stop();
    }
  }, 20_000);

  it('is 503 once the streams have shut down before the server', async () => {
    const leaving = await DurableStreamsApp.create(world.url);
    await leaving.streams.append('leaving', 'a');
    await leaving.streams.beforeApplicationShutdown();
    await leaving.streams.onApplicationShutdown();
    expect(await refusalOf(ask('GET', 'leaving', { on: leaving }))).toEqual([503, 'SHUTTING_DOWN', '1']);
    await leaving.stop();
  });

  it('is what authorize throws, when that is an exception of Nest', async () => {
    const choosy = await DurableStreamsApp.create(world.url, {
      authorize: (stream) => {
        if (stream === 'broken') throw new TypeError('secret');
        throw new ForbiddenException('not yours');
      },
    });
    expect(await refusalOf(ask('GET', 'mine', { on: choosy }))).toEqual([403, 'REFUSED', null]);
    const broken = await ask('GET', 'broken', { on: choosy });
    expect([broken.status, await broken.text()]).toEqual([500, '{"code":"INTERNAL","message":"the request failed"}']);
    await choosy.stop();
  });

  it('is 415 for a compressed body, which nobody would unpack for its readers', async () => {
    await ask('PUT', 'packed', { headers: TEXT_TYPE });
    const headers = { ...TEXT_TYPE, 'content-encoding': 'gzip' };
    expect(await refusalOf(ask('POST', 'packed', { headers, body: 'x' }))).toEqual([415, 'ENCODING_UNSUPPORTED', null]);
  });
});

/** What the server says to bytes that no client library would send, until it closes the connection. */
async function rawly(send: (socket: Socket) => void): Promise<string> {
  const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (part) => (text += part.toString('latin1')));
  socket.on('error', () => undefined);
  await new Promise((resolve) => {
    socket.on('close', resolve);
    socket.on('connect', () => send(socket));
  });
  return text;
}

describe('a client', () => {
  it('that sends a body without end is cut, and none of it is kept', async () => {
    await ask('PUT', 'endless', { headers: TEXT_TYPE });
    const part = Buffer.alloc(64 * 1024, 65);
    const framed = Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
    let sent = 0;
    await rawly((socket) => {
      socket.write('POST /v1/stream/endless HTTP/1.1\r\nhost: x\r\n');
      socket.write('content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n');
      const go = (): void => {
        while (socket.write(framed)) sent += part.length;
      };
      socket.on('drain', go);
      go();
    });
    expect(sent).toBeGreaterThan(100_000);
    expect(await served.streams.info('endless')).toMatchObject({ tailIndex: -1 });
  });

  it('cannot smuggle a header into an answer with its content type or its path', async () => {
    const answer = await rawly((socket) =>
      socket.write(
        'PUT /v1/stream/smuggled%0d%0aset-cookie:%20a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n' +
          'content-type: text/plain; a=\xfc\r\ncontent-length: 0\r\n\r\n',
      ),
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    const put = await ask('PUT', 'smuggled%0d%0aset-cookie:%20a', { headers: TEXT_TYPE });
    expect([put.status, put.headers.get('set-cookie')]).toEqual([201, null]);
    expect(put.headers.get('location')).toContain('smuggled%0d%0aset-cookie');
  });

  it('names streams and no files: dots and slashes, encoded or not, are parts of a name', async () => {
    const answer = await rawly((socket) =>
      socket.write(
        'PUT /v1/stream/a/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
      ),
    );
    expect(answer).toMatch(/^HTTP\/1.1 201 /);
    expect(await served.streams.info('a/../../etc/passwd')).toMatchObject({ tailIndex: -1 });
  });

  it('that asks with HEAD is told what there is, and no length that a GET would not have', async () => {
    await ask('PUT', 'head', { headers: TEXT_TYPE, body: 'abc' });
    const head = await ask('HEAD', 'head');
    expect([head.status, head.headers.get('content-length'), head.headers.get('cache-control')]).toEqual([
      200,
      null,
      'no-store',
    ]);
    expect(head.headers.get('content-security-policy')).toBe("default-src 'none'; sandbox");
    expect((await ask('GET', 'head')).headers.get('content-length')).toBe('3');
  });
});

describe('another HTTP adapter than Express', () => {
  it('is refused at the start with what to do instead', async () => {
    class OtherAdapter extends ExpressAdapter {
      override getType(): string {
        return 'fastify';
      }
    }
    @Module({
      imports: [
        PgStreamModule.forRoot({ connectionString: world.url, hints: hintsUnderTest() }),
        DurableStreamsModule.forRoot({}),
      ],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, new OtherAdapter(), { logger: false });
    await expect(app.init()).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      message: expect.stringContaining('@nestjs/platform-express'),
    });
    await app.close().catch(() => undefined);
    // A worker that loads the same modules without HTTP starts.
    const worker = await NestFactory.createApplicationContext(AppModule, { logger: false });
    await worker.close();
  });
});
