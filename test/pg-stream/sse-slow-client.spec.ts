import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { createParser } from 'eventsource-parser';
import { get, type IncomingMessage } from 'node:http';
import { SseEdge } from './support/sse-edge.js';
import { StreamsWorld } from './support/streams-world.js';
import { whatIsLeft } from './support/what-is-left.js';

/** More than sockets hold: 20 MB. */
const HISTORY = 40;
const HISTORY_BYTES = 512 * 1024;
const CHUNKS = 100;
const CHUNK_BYTES = 4 * 1024;
const HEALTHY = 99;

let world: StreamsWorld;
let streams: PgStreamService;
let edge: SseEdge;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ pollInterval: '200ms' });
  edge = await SseEdge.start(streams);
});
afterAll(async () => {
  edge.stop();
  await world.stop();
});

/** Counts what it gets, in order, and how long each chunk took from its append. */
class Client {
  chunks = 0;
  isEnded = false;
  latestMs = 0;
  private readonly parser = createParser({
    onEvent: ({ id, event, data }) => {
      this.lastId = id;
      if (event === 'end') this.isEnded = true;
      else this.take(data);
    },
  });

  /** @param appendedAt by index; what was there before is not timed. */
  constructor(
    private readonly appendedAt: ReadonlyMap<number, number>,
    private due: number,
    private lastId?: string,
  ) {}

  connect(): Promise<IncomingMessage> {
    const headers = this.lastId === undefined ? {} : { 'last-event-id': this.lastId };
    return new Promise((resolve, reject) => {
      get({ port: edge.port, host: '127.0.0.1', path: '/flood', headers, agent: false }, (response) => {
        response.setEncoding('utf8').on('data', (part: string) => this.parser.feed(part));
        response.on('error', () => undefined);
        resolve(response);
      }).on('error', reject);
    });
  }

  private take(data: string): void {
    const index = Number(/^{"index":(\d+)/.exec(data)![1]);
    // Not an expectation: a thousand of those cost more than the reading.
    if (index !== this.due++) throw new Error(`chunk ${index} came where ${this.due - 1} was due`);
    this.chunks++;
    this.latestMs = Math.max(this.latestMs, performance.now() - (this.appendedAt.get(index) ?? Infinity));
  }
}

describe('one client that does not read, beside 99 that do', () => {
  it('holds up neither them nor the writer, costs about a page, and has everything once when it is back', async () => {
    const history = Buffer.alloc(HISTORY_BYTES, 65);
    for (let nth = 0; nth < HISTORY; nth++) await streams.append('flood', history);
    const { cursor } = await streams.page('flood', { startIndex: HISTORY - 1 });
    const appendedAt = new Map<number, number>();
    const healthy = Array.from({ length: HEALTHY }, () => new Client(appendedAt, HISTORY, cursor));
    const slow = new Client(appendedAt, 0);
    await Promise.all(healthy.map((client) => client.connect()));
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the readers to wait' });
    const before = await whatIsLeft(streams, () => edge.connections());
    const stalled = await slow.connect();
    stalled.pause();

    const chunk = 'x'.repeat(CHUNK_BYTES);
    for (let nth = 0; nth < CHUNKS; nth++) {
      appendedAt.set(HISTORY + nth, performance.now());
      await streams.append('flood', chunk);
      // As fast as the healthy ones can read, who share a process with the server here.
      await waitFor(() => healthy.every(({ chunks }) => chunks > nth - 8), { description: 'the healthy to follow' });
    }
    await waitFor(() => healthy.every(({ chunks }) => chunks === CHUNKS), { description: 'the healthy to have all' });
    expect(Math.max(...healthy.map(({ latestMs }) => latestMs))).toBeLessThan(3_000);
    expect(slow.chunks).toBe(0);
    expect(streams.stats().readers).toBe(HEALTHY + 1);
    const after = await whatIsLeft(streams, () => edge.connections());
    // Of the 20 MB that the slow one has not taken, about a page is held.
    expect(after.heapMb - before.heapMb).toBeLessThan(8);

    // Given up, as a proxy does; it comes back behind the last event it has.
    stalled.destroy();
    await waitFor(() => streams.stats().readers === HEALTHY, { description: 'the slow one to be freed' });
    await streams.closeStream('flood');
    await slow.connect();
    await waitFor(() => slow.isEnded && healthy.every(({ isEnded }) => isEnded), { description: 'all to end' });
    expect(slow.chunks).toBe(HISTORY + CHUNKS);
    expect(healthy.every(({ chunks }) => chunks === CHUNKS)).toBe(true);
    await waitFor(() => streams.stats().sseResponses === 0, { description: 'every response to be freed' });
  }, 30_000);
});
