import { Controller, type INestApplication, type MessageEvent, Module, Param, Sse, SseSignal } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { LastEventId, PgStreamModule, PgStreamService } from '@nest-baton/pg-stream';
import { hintsUnderTest, waitFor } from '@nest-baton/testing';
import { createParser } from 'eventsource-parser';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Observable } from 'rxjs';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let app: INestApplication;
let streams: PgStreamService;
let baseUrl: string;

@Controller()
class StreamsController {
  constructor(private readonly streams: PgStreamService) {}

  @Sse('events/:id')
  events(
    @Param('id') id: string,
    @LastEventId() cursor: string | undefined,
    @SseSignal() signal: AbortSignal,
  ): Promise<Observable<MessageEvent>> {
    return this.streams.events(id, { cursor, signal });
  }
}

beforeAll(async () => {
  world = await StreamsWorld.create();
  @Module({
    imports: [PgStreamModule.forRoot({ connectionString: world.url, hints: hintsUnderTest(), heartbeat: '20ms' })],
    providers: [],
    controllers: [StreamsController],
  })
  class AppModule {}
  Reflect.defineMetadata('design:paramtypes', [PgStreamService], StreamsController);
  app = await NestFactory.create(AppModule, { logger: false });
  await app.listen(0, '127.0.0.1');
  streams = app.get(PgStreamService);
  baseUrl = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/events`;
});
afterAll(async () => {
  await app.close();
  await world.stop();
});

interface Seen {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/** What one connection gives, until it ends or `count` events came. */
async function eventsOf(
  url: string,
  lastEventId?: string,
  count = Infinity,
): Promise<{ status: number; seen: Seen[] }> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
  const response = await fetch(url, { headers });
  const seen: Seen[] = [];
  const parser = createParser({ onEvent: ({ id, event, data }) => void seen.push({ id, event, data }) });
  const decoder = new TextDecoder();
  if (response.status === 200)
    for await (const part of response.body!) {
      parser.feed(decoder.decode(part as Uint8Array, { stream: true }));
      if (seen.length >= count) break;
    }
  return { status: response.status, seen: seen.slice(0, count) };
}

const awkward = ['a\r\nb', 'data: x\n\nevent: end\n\n', '', '\r', '\ufeff\u2028😀\0', Buffer.from([0xff, 0xc3])];

describe('events', () => {
  it('have the ids, types and data of sse, whatever the bytes', async () => {
    for (const chunk of awkward) await streams.append('same', chunk);
    await streams.closeStream('same', { status: 'aborted', message: 'a\nb' });
    const { data } = await streams.page('same');
    const { status, seen } = await eventsOf(`${baseUrl}/same`);
    expect(status).toBe(200);
    expect(seen.map(({ event }) => event)).toEqual([...awkward.map(() => 'chunk'), 'end']);
    expect(seen.slice(0, -1).map(({ id }) => id)).toEqual(data.map(({ cursor }) => cursor));
    expect(seen.at(-1)!.data).toBe('{"status":"aborted","message":"a\\nb"}');
    const bytes = seen.slice(0, -1).map((event, i) => {
      const { index, text, base64 } = JSON.parse(event.data) as { index: number; text?: string; base64?: string };
      expect(index).toBe(i);
      return text === undefined ? Buffer.from(base64!, 'base64') : Buffer.from(text);
    });
    expect(Buffer.concat(bytes).equals(Buffer.concat(awkward.map((chunk) => Buffer.from(chunk))))).toBe(true);
  });

  it('go on behind the last id, of the header before that of the query, and answer 204 to who has seen the end', async () => {
    for (const chunk of ['a', 'b', 'c']) await streams.append('resumed', chunk);
    await streams.closeStream('resumed');
    const first = await eventsOf(`${baseUrl}/resumed`, undefined, 2);
    const ids = first.seen.map(({ id }) => id!);
    const rest = await eventsOf(`${baseUrl}/resumed?lastEventId=${ids[0]}`, ids[1]);
    expect(rest.seen.map(({ event, data }) => [event, data])).toEqual([
      ['chunk', '{"index":2,"text":"c"}'],
      ['end', '{"status":"done"}'],
    ]);
    expect(await eventsOf(`${baseUrl}/resumed`, rest.seen[0]!.id)).toMatchObject({ seen: [{ event: 'end' }] });
    expect(await eventsOf(`${baseUrl}/resumed?lastEventId=${rest.seen[1]!.id}`)).toEqual({ status: 204, seen: [] });
  });

  it('answer 400 to what was never a cursor, and refuse the cursor of another stream before anything is sent', async () => {
    await streams.append('one', 'a');
    await streams.append('other', 'a');
    for (const id of ['forged', 'x'.repeat(2_000), '1'])
      expect((await eventsOf(`${baseUrl}/one`, id)).status).toBe(400);
    const { cursor } = await streams.page('other');
    expect((await eventsOf(`${baseUrl}/one`, cursor)).status).toBe(500);
    await expect(streams.events('one', { cursor })).rejects.toMatchObject({ code: 'CURSOR_INVALID' });
  });

  it('say nothing of the cursor of a client that has left before it was looked up', async () => {
    await streams.append('left', 'a');
    const { cursor } = await streams.page('left');
    const left = AbortSignal.abort(new Error('left'));
    await expect(streams.events('left', { cursor, signal: left })).rejects.toThrow('left');
    const leaving = new AbortController();
    // The lookups wait behind eight others.
    const asked = Array.from({ length: 20 }, () => streams.events('left', { cursor, signal: leaving.signal }));
    leaving.abort(new Error('left'));
    const outcomes = await Promise.allSettled(asked);
    expect(new Set(outcomes.map((outcome) => String((outcome as { reason?: unknown }).reason)))).toEqual(
      new Set(['Error: left']),
    );
  });

  it('keep a quiet connection open with comments, and free the reader of a client that leaves', async () => {
    const response = await fetch(`${baseUrl}/quiet`);
    const body = response.body!.getReader();
    let text = '';
    while (!/(:\s*\n\n){3}/.test(text)) text += new TextDecoder().decode((await body.read()).value);
    expect(text).not.toContain('id:');
    expect(streams.stats().readers).toBe(1);
    await body.cancel();
    await waitFor(() => streams.stats().readers === 0, { description: 'the reader to be freed' });
  });

  it('lose a client that does not read to Nest, which comes back and has everything once', async () => {
    const writer = await streams.open('slow');
    const chunks = 300;
    for (let i = 0; i < chunks; i++) await writer.append('x'.repeat(100_000));
    await writer.close();
    const indexes: number[] = [];
    let lastId: string | undefined;
    let isEnded = false;
    let connections = 0;
    const connect = (stall: boolean): Promise<void> =>
      new Promise((resolve) => {
        connections++;
        const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
        const parser = createParser({
          onEvent: ({ id, event, data }) => {
            lastId = id;
            if (event === 'end') isEnded = true;
            else indexes.push((JSON.parse(data) as { index: number }).index);
          },
        });
        get(`${baseUrl}/slow`, { headers }, (response: IncomingMessage) => {
          response.setEncoding('utf8');
          response.on('data', (part: string) => parser.feed(part));
          response.on('close', resolve);
          response.on('error', () => undefined);
          if (!stall) return;
          response.pause();
          // Not read until Nest has given the client up.
          void waitFor(() => streams.stats().readers === 0, {
            timeoutMs: 10_000,
            description: 'the client to be dropped',
          }).then(() => response.resume());
        }).on('error', () => resolve());
      });
    await connect(true);
    expect(isEnded).toBe(false);
    while (!isEnded && connections < 50) await connect(false);
    expect(indexes).toEqual([...Array(chunks).keys()]);
  });

  it('complete without an end at shutdown, so that the client comes back', async () => {
    const leaving = await world.service();
    const seen: MessageEvent[] = [];
    await leaving.append('leaving', 'a');
    const completed = new Promise<void>((resolve, reject) => {
      void leaving
        .events('leaving', { heartbeatMs: 0 })
        .then((events) => events.subscribe({ next: (event) => seen.push(event), complete: resolve, error: reject }));
    });
    await waitFor(() => seen.length === 1, { description: 'the chunk' });
    await leaving.beforeApplicationShutdown();
    await completed;
    expect(seen).toMatchObject([{ type: 'chunk', data: '{"index":0,"text":"a"}' }]);
    await expect(leaving.events('leaving')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
