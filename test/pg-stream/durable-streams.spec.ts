import { type CanActivate, type ExecutionContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PgStreamModule } from '@nest-baton/pg-stream';
import { DurableStreamsModule } from '@nest-baton/pg-stream/durable-streams';
import { hintsUnderTest, waitFor } from '@nest-baton/testing';
import type { AddressInfo } from 'node:net';
import { DurableStreamsApp } from './support/durable-streams-app.js';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let served: DurableStreamsApp;
beforeAll(async () => {
  world = await StreamsWorld.create();
  served = await DurableStreamsApp.create(world.url);
});
afterAll(async () => {
  await DurableStreamsApp.stopAll();
  await world.stop();
});

const JSON_TYPE = { 'content-type': 'application/json' };
const TEXT_TYPE = { 'content-type': 'text/plain' };

interface Asked {
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly on?: DurableStreamsApp;
  readonly signal?: AbortSignal;
}

async function ask(
  method: string,
  path: string,
  { headers = {}, body, on = served, signal }: Asked = {},
): Promise<Response> {
  return fetch(`${on.url}/v1/stream/${path}`, {
    method,
    headers,
    ...(body !== undefined && { body }),
    ...(signal !== undefined && { signal }),
  });
}

const offsetOf = (response: Response): string => response.headers.get('stream-next-offset')!;

describe('streams of the application', () => {
  it('are read by the protocol without having been created by it, and its appends by the application', async () => {
    await served.streams.append('run/1', 'a');
    const read = await ask('GET', 'run/1');
    expect([read.status, read.headers.get('content-type'), await read.text()]).toEqual([
      200,
      'application/octet-stream',
      'a',
    ]);
    const octets = { 'content-type': 'application/octet-stream' };
    expect((await ask('POST', 'run/1', { headers: octets, body: Buffer.from([0, 255]) })).status).toBe(204);
    expect((await ask('POST', 'run/1', { headers: { 'stream-closed': 'true' } })).status).toBe(204);
    const chunks: Buffer[] = [];
    for await (const { data } of served.streams.read('run/1')) chunks.push(Buffer.from(data));
    expect(chunks).toEqual([Buffer.from('a'), Buffer.from([0, 255])]);
  });

  it('wake long polls and event streams, which say how they end', async () => {
    await served.streams.append('live', 'a');
    const tail = offsetOf(await ask('HEAD', 'live'));
    const poll = ask('GET', `live?offset=${tail}&live=long-poll`);
    const events = await ask('GET', `live?offset=${tail}&live=sse`);
    await waitFor(() => served.streams.stats().waitingStreams === 1, { description: 'both to wait' });
    await served.streams.append('live', 'b');
    expect(await (await poll).text()).toBe('b');
    await served.streams.closeStream('live', { status: 'error' });
    const text = await events.text();
    expect(text).toContain('event: data\ndata:Yg==\n\nevent: control\n');
    expect(text).toMatch(/"streamClosed":true}\n\n$/);
    expect(served.streams.stats().readers).toBe(0);
  });
});

describe('JSON', () => {
  it('comes back as it was sent, digit by digit', async () => {
    await ask('PUT', 'exact', { headers: JSON_TYPE });
    const messages = ['12345678901234567890.10', '{"a": 1e400,\n "a":"],[\\"" }', '[1,[2]]', '"😀\\u0000"'];
    const body = `[${messages.join(' , ')}]`;
    expect((await ask('POST', 'exact', { headers: JSON_TYPE, body })).status).toBe(204);
    expect(await (await ask('GET', 'exact')).text()).toBe(`[${messages.join(',')}]`);
    const { data } = await served.streams.page('exact');
    expect(data.map((chunk) => Buffer.from(chunk.data).toString())).toEqual(messages);
  });

  it('is refused with what to do when the application has not kept the bytes', async () => {
    @Module({
      imports: [
        PgStreamModule.forRoot({ connectionString: world.url, hints: hintsUnderTest() }),
        DurableStreamsModule.forRoot({ path: 'v1/stream' }),
      ],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    await app.listen(0, '127.0.0.1');
    const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/v1/stream/parsed`;
    const refused = await fetch(url, { method: 'PUT', headers: JSON_TYPE, body: '{}' });
    expect([refused.status, await refused.json()]).toEqual([
      500,
      { code: 'BODY_CONSUMED', message: expect.stringContaining('rawBody: true') },
    ]);
    expect((await fetch(url, { method: 'PUT', headers: TEXT_TYPE, body: 'x' })).status).toBe(201);
    await app.close();
  });
});

describe('a POST', () => {
  it('that is refused for one of its parts leaves nothing of the others', async () => {
    await ask('PUT', 'whole', { headers: TEXT_TYPE });
    const first = { ...TEXT_TYPE, 'stream-seq': 'b' };
    expect((await ask('POST', 'whole', { headers: first, body: '1' })).status).toBe(204);
    const closing = { ...TEXT_TYPE, 'stream-seq': 'a', 'stream-closed': 'true' };
    expect((await ask('POST', 'whole', { headers: closing, body: '2' })).status).toBe(409);
    expect(await served.streams.info('whole')).toMatchObject({ tailIndex: 0, done: false });
  });

  it('of a producer is stored once when it is repeated at once, with all of its messages', async () => {
    await ask('PUT', 'once', { headers: JSON_TYPE });
    const headers = { ...JSON_TYPE, 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => ask('POST', 'once', { headers, body: '[1,2,3]' })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(19).fill(204)]);
    expect(await (await ask('GET', 'once')).json()).toEqual([1, 2, 3]);
  });

  it('larger than allowed is answered with 413, also when the client is still sending', async () => {
    await ask('PUT', 'large', { headers: TEXT_TYPE });
    const body = Buffer.alloc(3 * 1024 * 1024, 65);
    expect((await ask('POST', 'large', { headers: TEXT_TYPE, body })).status).toBe(413);
    expect(await served.streams.info('large')).toMatchObject({ tailIndex: -1 });
  });
});

describe('an offset', () => {
  it('of an earlier stream of the name is answered with 410, one of another stream or of none with 400', async () => {
    const offset = offsetOf(await ask('PUT', 'again', { headers: TEXT_TYPE, body: 'old' }));
    expect((await ask('DELETE', 'again')).status).toBe(204);
    const other = offsetOf(await ask('PUT', 'again', { headers: TEXT_TYPE, body: 'new' }));
    expect((await ask('GET', `again?offset=${offset}`)).status).toBe(410);
    const later = offsetOf(await ask('PUT', 'later', { headers: TEXT_TYPE, body: 'x' }));
    for (const bad of [later, '0', '12', "'; DROP TABLE", `${other.slice(0, -1)}9`, 'x'.repeat(10_000)])
      expect((await ask('GET', `again?offset=${encodeURIComponent(bad)}`)).status).toBe(400);
    expect(other > offset).toBe(true);
  });
});

describe('forks', () => {
  it('keep what they inherited when their source is deleted, and free its name when the last of them goes', async () => {
    await ask('PUT', 'source', { headers: TEXT_TYPE, body: 'abc' });
    const fork = {
      'stream-forked-from': '/v1/stream/source',
      'stream-fork-offset': '-1',
      'stream-fork-sub-offset': '2',
    };
    for (const name of ['one', 'two']) expect((await ask('PUT', name, { headers: fork })).status).toBe(201);
    expect((await ask('DELETE', 'source')).status).toBe(204);
    expect((await ask('GET', 'source')).status).toBe(410);
    expect(await (await ask('GET', 'two')).text()).toBe('ab');
    await ask('DELETE', 'one');
    expect((await ask('GET', 'source')).status).toBe(410);
    await ask('DELETE', 'two');
    expect((await ask('GET', 'source')).status).toBe(404);
  });

  it('that race the deletion of their source are made whole or not at all', async () => {
    for (let round = 0; round < 20; round++) {
      const source = `racing-${round}`;
      await ask('PUT', source, { headers: TEXT_TYPE, body: 'abc' });
      const headers = { 'stream-forked-from': `/v1/stream/${source}` };
      const [fork, removed] = await Promise.all([ask('PUT', `${source}-fork`, { headers }), ask('DELETE', source)]);
      expect(removed.status).toBe(204);
      if (fork.status === 201) expect(await (await ask('GET', `${source}-fork`)).text()).toBe('abc');
      else expect([404, 409]).toContain(fork.status);
      expect((await ask('HEAD', source)).status).toBe(fork.status === 201 ? 410 : 404);
    }
  });
});

describe('streams whose time is over', () => {
  it('are removed by the sweep although nobody asks for them', async () => {
    const sweeping = await DurableStreamsApp.create(world.url, { sweepInterval: '1s' });
    await ask('PUT', 'brief', { headers: { ...TEXT_TYPE, 'stream-ttl': '1' }, body: 'x' });
    await ask('PUT', 'kept', { headers: { ...TEXT_TYPE, 'stream-ttl': '3600' }, body: 'x' });
    const names = async (): Promise<unknown[]> =>
      (await world.sql(`SELECT name FROM baton.streams WHERE name IN ('brief', 'kept')`)).map(({ name }) => name);
    await waitFor(async () => (await names()).length === 1, { timeoutMs: 8_000, description: 'the sweep' });
    expect(await names()).toEqual(['kept']);
    await sweeping.stop();
  });
});

describe('who may ask', () => {
  it('is nobody while the server can be reached from elsewhere and nothing stands guard', async () => {
    const open = await DurableStreamsApp.create(world.url, {}, '0.0.0.0');
    const refused = await ask('PUT', 'open', { on: open });
    expect([refused.status, await refused.json()]).toMatchObject([403, { code: 'UNGUARDED' }]);
    await open.stop();
    const guarded = await DurableStreamsApp.create(world.url, { token: 'a-token-of-16-characters' }, '0.0.0.0');
    expect((await ask('PUT', 'open', { on: guarded })).status).toBe(401);
    const wrong = { authorization: 'Bearer a-token-of-16-character' };
    expect((await ask('PUT', 'open', { on: guarded, headers: wrong })).status).toBe(401);
    const right = { authorization: 'Bearer a-token-of-16-characters' };
    expect((await ask('PUT', 'open', { on: guarded, headers: right })).status).toBe(201);
    await guarded.stop();
  });

  it('is decided by authorize, for both streams of a fork and before anything is read', async () => {
    const asked: string[] = [];
    const choosy = await DurableStreamsApp.create(
      world.url,
      { authorize: (stream) => asked.push(stream) > 0 && !stream.startsWith('secret') },
      '0.0.0.0',
    );
    await served.streams.append('secret/a b', 'x');
    for (const query of ['', '?live=sse&offset=-1', '?live=long-poll&offset=-1'])
      expect((await ask('GET', `secret/a%20b${query}`, { on: choosy })).status).toBe(403);
    const headers = { 'stream-forked-from': '/v1/stream/secret/a%20b' };
    expect((await ask('PUT', 'copy', { on: choosy, headers })).status).toBe(403);
    expect(asked).toEqual(['secret/a b', 'secret/a b', 'secret/a b', 'copy', 'secret/a b']);
    expect((await ask('HEAD', 'copy')).status).toBe(404);
    await choosy.stop();
  });

  it('is decided by guards of Nest', async () => {
    @Injectable()
    class OnlyReading implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        return context.switchToHttp().getRequest<{ method: string }>().method === 'GET';
      }
    }
    const reading = await DurableStreamsApp.create(world.url, { guards: [OnlyReading] }, '0.0.0.0');
    await served.streams.append('guarded', 'x');
    expect(await (await ask('GET', 'guarded', { on: reading })).text()).toBe('x');
    expect((await ask('DELETE', 'guarded', { on: reading })).status).toBe(403);
    await reading.stop();
  });
});

describe('at shutdown', () => {
  it('long polls are answered and event streams end without a close, so that the application stops at once', async () => {
    const leaving = await DurableStreamsApp.create(world.url, { longPollTimeout: '1m', sseLifetime: '1m' });
    await leaving.streams.append('leaving', 'x');
    const tail = offsetOf(await ask('HEAD', 'leaving'));
    const poll = ask('GET', `leaving?offset=${tail}&live=long-poll`, { on: leaving });
    const events = await ask('GET', 'leaving?offset=-1&live=sse', { on: leaving });
    await waitFor(() => leaving.streams.stats().readers === 2, { description: 'both to wait' });
    const text = events.text();
    const stopping = leaving.stop();
    expect((await poll).status).toBe(204);
    expect(await text).toMatch(/"upToDate":true}\n\n$/);
    // Neither connection is kept for another request, which would hold the server for seconds.
    let isStopped = false;
    void stopping.then(() => (isStopped = true));
    await waitFor(() => isStopped, { timeoutMs: 1_500, description: 'the application to stop' });
  });

  it('frees the reader of a client that has left', async () => {
    await served.streams.append('left', 'x');
    const tail = offsetOf(await ask('HEAD', 'left'));
    for (const live of ['sse', 'long-poll']) {
      const abort = new AbortController();
      const asked = ask('GET', `left?offset=${tail}&live=${live}`, { signal: abort.signal }).catch(() => undefined);
      await waitFor(() => served.streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
      abort.abort();
      await waitFor(() => served.streams.stats().readers === 0, {
        timeoutMs: 900,
        description: 'the reader to be freed',
      });
      await asked;
    }
  });
});
