import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let server: Server | undefined;

beforeAll(async () => {
  world = await StreamsWorld.create();
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});
afterAll(() => world.stop());

/** A client that has asked and does not read, and the response that is written for it. */
async function stalledClient(
  streams: PgStreamService,
  stream: string,
  prepare: (response: ServerResponse) => void = () => undefined,
): Promise<ServerResponse> {
  let response: ServerResponse | undefined;
  server = createServer((_, given) => {
    response = given;
    prepare(given);
    streams.sse(given, stream, { heartbeatMs: 0 }).catch(() => undefined);
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const request = get({ port, host: '127.0.0.1' }, (message: IncomingMessage) => message.pause());
  request.on('error', () => undefined);
  await waitFor(() => response?.writableNeedDrain === true, { description: 'the response to wait for the client' });
  return response!;
}

async function shutsDown(streams: PgStreamService): Promise<void> {
  let isDone = false;
  const done = streams.beforeApplicationShutdown().then(() => (isDone = true));
  await waitFor(() => isDone, { timeoutMs: 2_000, description: 'the shutdown' });
  await done;
}

describe('a client that has stopped reading', () => {
  it('does not hold back the shutdown, and is cut', async () => {
    const streams = await world.service();
    const writer = await streams.open('stalled');
    for (let i = 0; i < 40; i++) await writer.append(Buffer.alloc(512 * 1024, 65));
    const response = await stalledClient(streams, 'stalled');
    await shutsDown(streams);
    expect(response.destroyed).toBe(true);
    expect(streams.stats()).toMatchObject({ readers: 0, sseResponses: 0 });
  });

  it('does not hold back the shutdown either when only the end is left to tell', async () => {
    const streams = await world.service();
    await streams.append('stalled end', 'x'.repeat(15_900));
    await streams.closeStream('stalled end', { status: 'error', message: 'x'.repeat(1_000) });
    // Corked, the response takes what fits into its buffer, which is the chunk and not the end.
    const response = await stalledClient(streams, 'stalled end', (given) => given.cork());
    expect(streams.stats()).toMatchObject({ readers: 0, sseResponses: 1 });
    await shutsDown(streams);
    expect(response.destroyed).toBe(true);
    expect(streams.stats().sseResponses).toBe(0);
  });
});
