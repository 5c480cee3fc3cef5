import { createServer, connect, type Server, type Socket } from 'node:net';
import type { PgStreamService } from '@nest-baton/pg-stream';
import { startPostgres, waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

/** Cuts connections at a moment of the test's choice, as a network does. */
class CuttingProxy {
  private readonly pairs = new Set<[Socket, Socket]>();
  /** Let statements through and answers not. */
  isAnswerless = false;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async before(target: string): Promise<CuttingProxy> {
    const { port, hostname } = new URL(target);
    const server = createServer((client) => {
      const upstream = connect(Number(port), hostname);
      const pair: [Socket, Socket] = [client, upstream];
      proxy.pairs.add(pair);
      client.on('data', (data) => upstream.write(data));
      upstream.on('data', (data) => proxy.isAnswerless || client.write(data));
      for (const socket of pair)
        socket
          .on('error', () => undefined)
          .on('close', () => {
            proxy.pairs.delete(pair);
            client.destroy();
            upstream.destroy();
          });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(target);
    url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
    const proxy = new CuttingProxy(server, url.href);
    return proxy;
  }

  cut(): void {
    for (const [client] of this.pairs) client.destroy();
  }

  stop(): void {
    this.cut();
    this.server.close();
  }
}

describe('a connection that is lost during an append', () => {
  let world: StreamsWorld;
  let streams: PgStreamService;
  let proxy: CuttingProxy;
  beforeAll(async () => {
    world = await StreamsWorld.create();
    streams = await world.service();
    proxy = await CuttingProxy.before(world.url);
  });
  afterAll(async () => {
    proxy.stop();
    await world.stop();
  });
  afterEach(() => void (proxy.isAnswerless = false));

  /** Terminates every append that waits for a lock. */
  const terminateWaiting = () => world.terminate('stream_write', 'Lock');

  async function heldAppends(stream: string): Promise<pg.Client> {
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`SELECT FROM baton.streams WHERE name = $1 FOR UPDATE`, [stream]);
    return client;
  }

  it('costs a writer nothing: byte-exact while its backends are terminated again and again', async () => {
    const writer = await streams.open('writer', { producer: { id: 'p', epoch: 1 } });
    const read = textsOf(streams.read('writer'));
    let isWriting = true;
    const killed = (async () => {
      let kills = 0;
      while (isWriting) {
        kills += await world.terminate('stream_write');
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      return kills;
    })();
    for (const number of numbers(400)) await writer.append(number);
    isWriting = false;
    await writer.close();
    expect(await killed).toBeGreaterThan(0);
    expect(await read).toEqual(numbers(400));
  });

  it('is repeated with the same number when the commit came through and its answer did not', async () => {
    const cutStreams = await world.service({ connectionString: proxy.url, hints: 'off' });
    const writer = await cutStreams.open('answerless', { producer: { id: 'p', epoch: 1 } });
    await cutStreams.append('another', 'so that there is a connection');
    for (let i = 0; i < 20; i++) {
      proxy.isAnswerless = true;
      const append = writer.append(`${i}`);
      await waitFor(async () => (await streams.info('answerless')).tailIndex === i, { description: 'the commit' });
      proxy.isAnswerless = false;
      proxy.cut();
      expect(await append).toEqual({ firstIndex: i, lastIndex: i, duplicate: true });
    }
    expect(writer.nextIndex).toBe(20);
    await writer.close();
    expect(await textsOf(streams.read('answerless'))).toEqual(numbers(20));
  });

  it('is APPEND_UNKNOWN at once without a producer, and a writer without one is broken until it is opened again', async () => {
    await streams.append('plain', 'a');
    const holder = await heldAppends('plain');
    const append = streams.append('plain', 'b').catch((error: unknown) => error);
    await waitFor(async () => (await terminateWaiting()) > 0, { description: 'a backend to end' });
    expect(await append).toMatchObject({ code: 'APPEND_UNKNOWN', retryable: true });
    await holder.query('ROLLBACK');

    const writer = await streams.open('plain');
    const again = await heldAppends('plain');
    const appends = Promise.allSettled([writer.append('b'), writer.append('c')]);
    await waitFor(async () => (await terminateWaiting()) > 0, { description: 'a backend to end' });
    for (const result of await appends) expect(result).toMatchObject({ reason: { code: 'APPEND_UNKNOWN' } });
    await again.query('ROLLBACK');
    await expect(writer.append('d')).rejects.toMatchObject({ code: 'APPEND_UNKNOWN' });
    await expect(writer.close()).rejects.toMatchObject({ code: 'APPEND_UNKNOWN' });
    expect((await (await streams.open('plain')).append('e')).lastIndex).toBe(1);
  });

  it('leaves a writer broken when the server does not come back, and a new writer goes on where the stream is', async () => {
    const cutStreams = await world.service({ connectionString: proxy.url, hints: 'off' });
    const writer = await cutStreams.open('gone', { producer: { id: 'p', epoch: 1 } });
    await writer.append('a');
    proxy.isAnswerless = true;
    const append = writer.append('b');
    const queued = writer.append('c');
    await waitFor(async () => (await streams.info('gone')).tailIndex === 2, { description: 'the commit' });
    const cutting = setInterval(() => proxy.cut(), 20);
    const results = await Promise.allSettled([append, queued]);
    clearInterval(cutting);
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'APPEND_UNKNOWN' } });
    proxy.isAnswerless = false;
    proxy.cut();
    await expect(writer.append('d')).rejects.toMatchObject({ code: 'APPEND_UNKNOWN' });
    const next = await cutStreams.open('gone', { producer: { id: 'p', epoch: 1 } });
    expect(next.nextIndex).toBe(3);
    await next.close();
    expect(await textsOf(streams.read('gone'))).toEqual(['a', 'b', 'c']);
  });
});

describe('a network path that answers nothing any more', () => {
  it('holds back the shutdown for a few seconds at most, although a look at the waiting streams is under way', async () => {
    const world = await StreamsWorld.create();
    const proxy = await CuttingProxy.before(world.url);
    try {
      const streams = await world.service({ connectionString: proxy.url, hints: 'off', pollInterval: '50ms' });
      const chunks = streams.read('waiting')[Symbol.asyncIterator]();
      const refused = expect(chunks.next()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
      await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
      proxy.isAnswerless = true;
      const { pollQueries } = streams.stats();
      await waitFor(() => streams.stats().pollQueries > pollQueries, { description: 'a look' });
      let isDone = false;
      const done = streams.beforeApplicationShutdown().then(() => (isDone = true));
      await waitFor(() => isDone, { timeoutMs: 8_000, description: 'the shutdown' });
      await Promise.all([done, refused]);
    } finally {
      proxy.stop();
      await world.stop();
    }
  }, 15_000);
});

describe('a server that restarts', () => {
  it('costs neither writer nor reader anything, and the end arrives', async () => {
    const server = await startPostgres({ exclusive: true });
    const { PgStreamService: Service, resolvePgStreamOptions } = await import('@nest-baton/pg-stream');
    const streams = new Service('restart', resolvePgStreamOptions({ connectionString: server.url }));
    try {
      await streams.onModuleInit();
      const read = textsOf(streams.read('s'));
      const writer = await streams.open('s', { producer: { id: 'p', epoch: 1 } });
      let restarted: Promise<unknown> = Promise.resolve();
      const written = (async () => {
        for (const number of numbers(300)) {
          await writer.append(number);
          if (number === '100') restarted = server.restart('immediate');
        }
        await writer.close();
      })();
      await written;
      await restarted;
      expect(await read).toEqual(numbers(300));
    } finally {
      await streams.beforeApplicationShutdown();
      await streams.onApplicationShutdown();
      await server.stop();
    }
  });
});
