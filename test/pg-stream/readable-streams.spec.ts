import { waitFor } from '@nest-baton/testing';
import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

describe('readable', () => {
  it('gives the bytes of all chunks, passes over those without any, and closes at the end', async () => {
    const chunks = [Buffer.from([0, 255, 13, 10]), Buffer.alloc(0), Buffer.from('ü'), Buffer.alloc(70_000, 7)];
    for (const chunk of chunks) await streams.append('bytes', chunk);
    await streams.closeStream('bytes', { status: 'error' });
    expect((await bytesOf(streams.readable('bytes'))).equals(Buffer.concat(chunks))).toBe(true);
    expect((await bytesOf(streams.readable('bytes', { startIndex: 2 }))).length).toBe(70_002);
    expect(streams.stats().readers).toBe(0);
  });

  it('reads nothing before it is pulled, and no page further than the consumer', async () => {
    const writer = await streams.open('pulled');
    for (let i = 0; i < 8; i++) await writer.append(Buffer.alloc(600 * 1024, i));
    const { slicesRead } = streams.stats();
    const reader = streams.readable('pulled').getReader();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(streams.stats()).toMatchObject({ slicesRead, readers: 0 });
    expect((await reader.read()).value?.[0]).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(streams.stats().slicesRead).toBe(slicesRead + 1);
    await reader.cancel();
    expect(streams.stats().readers).toBe(0);
  });

  it('gives each of two consumers bytes of his own', async () => {
    await streams.append('shared', 'abc');
    await streams.closeStream('shared');
    const [one, two] = [streams.readable('shared').getReader(), streams.readable('shared').getReader()];
    const [first, second] = await Promise.all([one.read(), two.read()]);
    first.value!.fill(0);
    expect(Buffer.from(second.value!).toString()).toBe('abc');
    expect(second.value!.buffer.byteLength).toBe(3);
    await Promise.all([one.cancel(), two.cancel()]);
  });

  it('fills a buffer that the consumer brings', async () => {
    await streams.append('brought', 'abcdef');
    await streams.closeStream('brought');
    const reader = streams.readable('brought').getReader({ mode: 'byob' });
    const texts: string[] = [];
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(4));
      if (done) break;
      texts.push(Buffer.from(value).toString());
    }
    expect(texts).toEqual(['abcd', 'ef']);
  });

  it('frees the reader at once when it is cancelled while it waits, and minds no later write', async () => {
    const stream = streams.readable('waited for');
    const reader = stream.getReader();
    const read = reader.read();
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await reader.cancel();
    expect(await read).toEqual({ done: true, value: undefined });
    await waitFor(() => streams.stats().readers === 0, { timeoutMs: 1_000, description: 'the reader to be freed' });
    await streams.append('waited for', 'late');
  });

  it('fails with what the reader fails with: a signal, the shutdown, a cursor of another stream', async () => {
    const abort = new AbortController();
    const aborted = streams.readable('never', { signal: abort.signal }).getReader().read();
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect(() => streams.readable('never', { cursor: 'forged' })).toThrow(
      expect.objectContaining({ code: 'CURSOR_INVALID' }),
    );
    const leaving = await world.service();
    const ended = expect(leaving.readable('never').getReader().read()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await waitFor(() => leaving.stats().readers === 1, { description: 'the reader to begin' });
    await leaving.beforeApplicationShutdown();
    await ended;
  });
});
