import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

const LISTEN = '^LISTEN';

it('after a reconnect one look finds what moved among 1 000 watched streams, and only that is paged', async () => {
  const reading = await world.service({ hints: 'on', pollInterval: 0 });
  const mute = await world.service({ hints: 'on', notify: 'off', pollInterval: 0 });
  const abort = new AbortController();
  const reads = Array.from({ length: 1_000 }, (_, i) =>
    textsOf(reading.read(`s${i}`, { signal: abort.signal })).catch(() => []),
  );
  await waitFor(() => reading.stats().waitingStreams === 1_000, { description: 'all to wait', timeoutMs: 10_000 });
  await Promise.all(Array.from({ length: 50 }, (_, i) => mute.append(`s${i * 20}`, 'x')));
  const before = reading.stats();
  expect(await world.terminate(LISTEN)).toBe(2);
  await waitFor(() => reading.stats().reconnects === 1, { description: 'the reconnect' });
  await waitFor(() => reading.stats().slicesRead >= before.slicesRead + 50, { description: 'what moved to be read' });
  await waitFor(() => reading.stats().waitingStreams === 1_000, { description: 'all to wait again' });
  expect(reading.stats().pollQueries - before.pollQueries).toBeLessThanOrEqual(3);
  // A page with the chunk, and perhaps an empty one behind it.
  expect(reading.stats().slicesRead - before.slicesRead).toBeLessThanOrEqual(100);
  abort.abort();
  await Promise.all(reads);
}, 30_000);

it('a listener killed again and again under load loses nothing, and delays by a poll and 250 ms at most', async () => {
  const reading = await world.service({ hints: 'on', pollInterval: '1s', schema: 'killed' });
  const writing = await world.service({ hints: 'on', schema: 'killed' });
  const delays: number[] = [];
  const read = (async () => {
    for await (const { data } of reading.read('load')) delays.push(performance.now() - Number(Buffer.from(data)));
  })();
  for (let second = 0; second < 4; second++) {
    expect(await world.terminate('^LISTEN "baton_pg_stream:killed"')).toBeGreaterThan(0);
    for (let i = 0; i < 50; i++) {
      await writing.append('load', `${performance.now()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await waitFor(() => reading.stats().listener === 'listening', { description: 'LISTEN to be back' });
  }
  await writing.closeStream('load');
  await read;
  expect(delays).toHaveLength(200);
  expect(Math.max(...delays)).toBeLessThanOrEqual(1_250);
}, 30_000);
