import { hintsUnderTest, waitFor } from '@nest-baton/testing';
import { DurableStreamsApp } from './support/durable-streams-app.js';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
/** Two processes' worth: one reads, the other one deletes. */
let reading: DurableStreamsApp;
let deleting: DurableStreamsApp;
beforeAll(async () => {
  world = await StreamsWorld.create();
  // The poll would find it too, in time, and without hints nothing else does.
  const polling = hintsUnderTest() === 'on' ? {} : ({ pollInterval: '100ms' } as const);
  const create = (): Promise<DurableStreamsApp> =>
    DurableStreamsApp.create(world.url, { longPollTimeout: '1m', sseLifetime: '1m' }, '127.0.0.1', polling);
  [reading, deleting] = await Promise.all([create(), create()]);
});
afterAll(async () => {
  await DurableStreamsApp.stopAll();
  await world.stop();
});
afterEach(() => expect(reading.streams.stats().readers).toBe(0));

const TEXT_TYPE = { 'content-type': 'text/plain' };

const urlOf = (app: DurableStreamsApp, path: string): string => `${app.url}/v1/stream/${path}`;

async function put(path: string, headers: Record<string, string> = TEXT_TYPE, body?: string): Promise<string> {
  const made = await fetch(urlOf(deleting, path), { method: 'PUT', headers, ...(body !== undefined && { body }) });
  expect(made.status).toBe(201);
  return made.headers.get('stream-next-offset')!;
}

/** A long poll and an event stream that wait at the tail of the stream. */
async function waitAtTail(path: string, offset: string): Promise<{ poll: Promise<Response>; events: Promise<string> }> {
  const poll = fetch(urlOf(reading, `${path}?offset=${offset}&live=long-poll`));
  const follow = await fetch(urlOf(reading, `${path}?offset=${offset}&live=sse`));
  await waitFor(() => reading.streams.stats().readers === 2, { description: 'both to wait' });
  return { poll, events: follow.text() };
}

/** Well before the minute for which both would wait. */
async function soon<T>(what: Promise<T>): Promise<T> {
  let result: { value: T } | undefined;
  void what.then((value) => (result = { value }));
  await waitFor(() => result !== undefined, { timeoutMs: 3_000, description: 'the answer' });
  return result!.value;
}

async function remove(path: string, app = deleting): Promise<void> {
  expect((await fetch(urlOf(app, path), { method: 'DELETE' })).status).toBe(204);
}

describe('readers of a stream that is deleted', () => {
  it.each(['this process', 'another process'])(
    'by %s are answered at once, and not told that it was closed',
    async (by) => {
      const offset = await put('deleted', TEXT_TYPE, 'a');
      const { poll, events } = await waitAtTail('deleted', offset);
      await remove('deleted', by === 'this process' ? reading : deleting);
      const answer = await soon(poll);
      expect([answer.status, await answer.json()]).toMatchObject([404, { code: 'STREAM_NOT_FOUND' }]);
      expect(await soon(events)).toMatch(/^event: control\ndata:{[^\n]*"upToDate":true}\n\n$/);
    },
  );

  it('are answered with 410 when its name is kept for a fork, which lives on', async () => {
    const offset = await put('source', TEXT_TYPE, 'a');
    await put('fork', { 'stream-forked-from': '/v1/stream/source' });
    const { poll, events } = await waitAtTail('source', offset);
    const told: string[] = [];
    const ofApplication = (async () => {
      const reader = reading.streams.read('source', { startIndex: 1 });
      for await (const { data } of reader) told.push(Buffer.from(data).toString());
      return reader.ended;
    })();
    await waitFor(() => reading.streams.stats().readers === 3, { description: 'all to wait' });
    await remove('source');
    const answer = await soon(poll);
    expect([answer.status, await answer.json()]).toMatchObject([410, { code: 'STREAM_DELETED' }]);
    expect(await soon(events)).not.toContain('streamClosed');
    // By its name the application still finds it until the fork goes, and does not wait for ever either.
    expect(await soon(ofApplication)).toEqual({ status: 'aborted', message: 'deleted' });
    expect(await (await fetch(urlOf(reading, 'fork'))).text()).toBe('a');
    await remove('fork');
    expect((await fetch(urlOf(reading, 'source'))).status).toBe(404);
  });

  it('get nothing of the stream that has its name next', async () => {
    const offset = await put('renamed', TEXT_TYPE, 'a');
    const { poll, events } = await waitAtTail('renamed', offset);
    // In one commit, so that no reader can look between the two.
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`UPDATE baton.streams SET name = NULL, deleted_at = clock_timestamp() WHERE name = 'renamed'`);
    await reading.streams.appendMany('renamed', ['x', 'y'], { transaction: client });
    await client.query('COMMIT');
    const answer = await soon(poll);
    expect([answer.status, await answer.json()]).toMatchObject([410, { code: 'CURSOR_TRIMMED' }]);
    expect(await soon(events)).not.toContain('event: data');
  });

  it('end when its time is over, as soon as somebody looks for it', async () => {
    const offset = await put('brief', { ...TEXT_TYPE, 'stream-ttl': '1' }, 'a');
    const { poll, events } = await waitAtTail('brief', offset);
    await waitFor(async () => (await fetch(urlOf(deleting, 'brief'), { method: 'HEAD' })).status === 404, {
      timeoutMs: 3_000,
      description: 'the stream to be over',
    });
    expect((await soon(poll)).status).toBe(404);
    await soon(events);
  });
});

describe('readers of a stream that is trimmed', () => {
  it('are answered with 410 for what it does not keep, whichever way they read', async () => {
    const offset = await put('trimmed', TEXT_TYPE, 'a');
    for (const chunk of ['b', 'c']) await reading.streams.append('trimmed', chunk);
    await reading.streams.trim('trimmed', { before: 2 });
    for (const live of ['', '&live=long-poll']) {
      const answer = await fetch(urlOf(reading, `trimmed?offset=${offset}${live}`));
      expect([answer.status, await answer.json()]).toMatchObject([410, { code: 'CURSOR_TRIMMED' }]);
    }
    const events = await fetch(urlOf(reading, `trimmed?offset=${offset}&live=sse`));
    expect(events.status).toBe(410);
    expect(await (await fetch(urlOf(reading, 'trimmed?offset=-1'))).text()).toBe('c');
  });
});
