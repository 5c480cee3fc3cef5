import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { createParser } from 'eventsource-parser';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
let server: Server;
let baseUrl: string;
const failures: unknown[] = [];

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
  server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://x');
    const heartbeatMs = Number(url.searchParams.get('heartbeat') ?? 0);
    streams.sse(response, decodeURIComponent(url.pathname.slice(1)), { heartbeatMs }).catch((error: unknown) => {
      failures.push(error);
      if (!response.headersSent) response.writeHead((error as { code: string }).code === 'CURSOR_INVALID' ? 400 : 500);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await world.stop();
});
afterEach(async () => {
  await waitFor(() => streams.stats().sseResponses === 0 && streams.stats().readers === 0, {
    description: 'every response to be freed',
  });
});

/** Reads like a browser: reconnects with the last id it has seen, and stops at 204. */
class BrowserLikeReader {
  readonly data: Buffer[] = [];
  readonly indexes: number[] = [];
  readonly ids: (string | undefined)[] = [];
  lastId: string | undefined;
  end: unknown;
  connections = 0;

  constructor(private readonly path: string) {}

  /** Up to `events` events, or up to so many bytes, which may end inside of one; false once there is nothing left to read. */
  async connect(events = Infinity, bytesWanted = Infinity): Promise<boolean> {
    this.connections++;
    const headers: Record<string, string> = this.lastId === undefined ? {} : { 'last-event-id': this.lastId };
    const response = await fetch(baseUrl + this.path, { headers });
    if (response.status === 204) return false;
    expect(response.status).toBe(200);
    let left = events;
    const parser = createParser({
      onEvent: ({ event, data, id }) => {
        if (left-- <= 0) return;
        this.lastId = id;
        this.ids.push(id);
        const body = JSON.parse(data) as { index: number; text?: string; base64?: string };
        if (event === 'end') return void (this.end = body);
        this.indexes.push(body.index);
        this.data.push(body.text === undefined ? Buffer.from(body.base64!, 'base64') : Buffer.from(body.text));
      },
    });
    const decoder = new TextDecoder();
    let bytesLeft = bytesWanted;
    for await (const bytes of response.body!) {
      parser.feed(decoder.decode((bytes as Uint8Array).subarray(0, bytesLeft), { stream: true }));
      bytesLeft -= (bytes as Uint8Array).length;
      // Leaving the loop cancels the body, which cuts the connection.
      if (left <= 0 || bytesLeft <= 0) break;
    }
    return true;
  }
}

const awkward = [
  'plain',
  '',
  '\r',
  '\n',
  '\r\n\r\n',
  'data: x\n\nevent: end\n\n',
  'id: 1\r\ndata:\r\n',
  '\ufeffbom',
  '\u2028\u2029',
  'ünï😀',
  '\0',
  Buffer.from([0xff, 0xfe, 0x0d, 0x0a]),
  Buffer.from([0xc3]),
  Buffer.from([0x28]),
  Buffer.from([0xed, 0xa0, 0x80]),
];

/** Follows a stream while it is written, over connections that take so many events, or bytes, each; all of it must come, once. */
async function readCut(
  stream: string,
  length: number,
  cutOf: (connection: number) => [events?: number, bytes?: number],
): Promise<BrowserLikeReader> {
  const chunks = Array.from({ length }, (_, i) => awkward[i % awkward.length]!);
  const writer = await streams.open(stream);
  const reader = new BrowserLikeReader(`/${encodeURIComponent(stream)}`);
  const read = (async () => {
    for (let i = 0; await reader.connect(...cutOf(i)); i++);
  })();
  // A few together, so that the time goes into the cuts.
  for (let i = 0; i < length; i += 4) await writer.appendMany(chunks.slice(i, i + 4));
  await writer.close({ status: 'error', message: 'a\nb' });
  await read;
  expect(reader.indexes).toEqual([...chunks.keys()]);
  expect(new Set(reader.ids).size).toBe(length + 1);
  expect(Buffer.concat(reader.data).equals(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))))).toBe(true);
  expect(reader.end).toEqual({ status: 'error', message: 'a\nb' });
  return reader;
}

describe('server-sent events', () => {
  it('are byte-exact over 200 cuts, with CR, LF, "data:" and invalid UTF-8 inside', async () => {
    const reader = await readCut('cut', 400, (connection) => [connection < 200 ? 1 + (connection % 3) : Infinity]);
    expect(reader.connections).toBeGreaterThan(200);
  });

  it('have no id twice and every byte once over 1 000 cuts, half of them inside an event', async () => {
    // An event has about 70 bytes, so that 60 to 300 mostly end inside of one.
    const reader = await readCut('cut inside', 2_400, (connection) => {
      if (connection >= 1_000) return [];
      return connection % 2 === 0 ? [1 + (connection % 3)] : [Infinity, 60 + ((connection * 37) % 240)];
    });
    expect(reader.connections).toBeGreaterThan(1_000);
    // A thousand connections and as many queries, one after another: fixed work, whose time is that of the machine.
  }, 120_000);

  it('have the form that the documentation promises', async () => {
    await streams.append('form', 'a\n');
    await streams.append('form', Buffer.from([0xff]));
    await streams.closeStream('form');
    const response = await fetch(`${baseUrl}/form`);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const { data } = await streams.page('form');
    const text = await response.text();
    expect(text).toMatch(
      new RegExp(
        `^id: ${data[0]!.cursor}\\nevent: chunk\\ndata: {"index":0,"text":"a\\\\n"}\\n\\n` +
          `id: ${data[1]!.cursor}\\nevent: chunk\\ndata: {"index":1,"base64":"/w=="}\\n\\n` +
          `id: [\\w-]+\\nevent: end\\ndata: {"status":"done"}\\n\\n$`,
      ),
    );
  });

  it('answer 204 only to who has seen the end: who was cut before it still gets it', async () => {
    await streams.append('ended', 'a');
    await streams.closeStream('ended');
    const reader = new BrowserLikeReader('/ended');
    await reader.connect(1);
    expect([reader.indexes, reader.end]).toEqual([[0], undefined]);
    expect(await reader.connect()).toBe(true);
    expect(reader.end).toEqual({ status: 'done' });
    expect(await reader.connect()).toBe(false);
    expect((await fetch(`${baseUrl}/ended?lastEventId=${reader.lastId}`)).status).toBe(204);
    const { data } = await streams.page('ended');
    const headers = { 'last-event-id': data[0]!.cursor };
    expect((await fetch(`${baseUrl}/ended?lastEventId=${reader.lastId}`, { headers })).status).toBe(200);
  });

  it('refuse an id that the stream has not given, before anything is sent', async () => {
    await streams.append('mine', 'a');
    await streams.append('yours', 'a');
    const { cursor } = await streams.page('yours');
    for (const id of ['forged', cursor, 'x'.repeat(5_000)]) {
      const response = await fetch(`${baseUrl}/mine`, { headers: { 'last-event-id': id } });
      expect([response.status, failures.pop()]).toEqual([400, expect.objectContaining({ code: 'CURSOR_INVALID' })]);
    }
    expect((await fetch(`${baseUrl}/nobody`, { headers: { 'last-event-id': cursor } })).status).toBe(400);
  });

  it('send their headers at once for a stream that nobody has opened, and comments while nothing comes', async () => {
    const response = await fetch(`${baseUrl}/not%20yet?heartbeat=20`);
    expect(response.status).toBe(200);
    const body = response.body!.getReader();
    for (let i = 0; i < 3; i++) expect(new TextDecoder().decode((await body.read()).value)).toMatch(/^(:\n\n)+$/);
    await streams.closeStream('not yet');
    let text = '';
    for (let part = await body.read(); !part.done; part = await body.read())
      text += new TextDecoder().decode(part.value);
    expect(text).toContain('event: end\ndata: {"status":"done"}');
  });

  it('are not waited for by HEAD, which Express gives to the handler of GET', async () => {
    const head = await fetch(`${baseUrl}/nobody%20yet`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    await waitFor(() => streams.stats().sseResponses === 0, { description: 'the response to be over' });
  });

  it('free the reader of a client that disconnects while it waits', async () => {
    const abort = new AbortController();
    await fetch(`${baseUrl}/waiting`, { signal: abort.signal });
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    abort.abort();
    await waitFor(() => streams.stats().readers === 0, { description: 'the reader to be freed' });
  });

  it('wait for a client that does not read, and hold at most about a page for it', async () => {
    const writer = await streams.open('slow');
    for (let i = 0; i < 40; i++) await writer.append(Buffer.alloc(512 * 1024, 65));
    await writer.close();
    const { slicesRead } = streams.stats();
    const response = await new Promise<IncomingMessage>((resolve) => get(`${baseUrl}/slow`, resolve));
    response.pause();
    await waitFor(() => streams.stats().slicesRead > slicesRead, { description: 'the first page' });
    let seen = -1;
    await waitFor(
      async () => {
        const before = seen;
        seen = streams.stats().slicesRead;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return seen === before;
      },
      { description: 'the reader to stop' },
    );
    expect(seen - slicesRead).toBeLessThan(20);
    let bytes = 0;
    for await (const part of response) bytes += (part as Buffer).length;
    expect(bytes).toBeGreaterThan(20 * 1024 * 1024);
  });
});

describe('shutdown', () => {
  it('settles the end of readers that were never begun, asked for before or after it', async () => {
    const leaving = await world.service();
    const [before, after] = [leaving.read('never begun'), leaving.read('never begun')];
    const ends: unknown[] = [];
    const told = before.ended.then((end) => ends.push(end));
    await leaving.beforeApplicationShutdown();
    void after.ended.then((end) => ends.push(end));
    await waitFor(() => ends.length === 2, { timeoutMs: 2_000, description: 'both ends' });
    await told;
    expect(ends).toEqual([undefined, undefined]);
    for (const reader of [before, after])
      await expect(reader[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('ends readers and responses with SHUTTING_DOWN, takes appends until the connections close, and is safe twice', async () => {
    const leaving = await world.service();
    const writer = await leaving.open('leaving');
    const idle = leaving.read('leaving');
    const read = (async () => {
      for await (const _ of idle);
    })();
    const edge = createServer((_, response) => void leaving.sse(response, 'leaving'));
    await new Promise<void>((resolve) => edge.listen(0, '127.0.0.1', resolve));
    const response = await fetch(`http://127.0.0.1:${(edge.address() as AddressInfo).port}/`);
    await waitFor(() => leaving.stats().readers === 2, { description: 'both readers' });
    const refused = expect(read).rejects.toMatchObject({ code: 'SHUTTING_DOWN', retryable: true });
    await leaving.beforeApplicationShutdown();
    await refused;
    expect(await idle.ended).toBeUndefined();
    expect(await response.text()).toBe('');
    edge.close();
    await expect(leaving.read('leaving')[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    });
    await writer.append('still taken');
    expect((await leaving.page('leaving')).data).toHaveLength(1);
    await Promise.all([leaving.onApplicationShutdown(), leaving.onApplicationShutdown()]);
    await expect(writer.append('too late')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(leaving.info('leaving')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
