import { StallMeter, waitFor } from '@nest-baton/testing';
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

it('scenario 1: LISTEN killed each second at 500 appends/s loses nothing for 50 readers, and delays by a poll and 250 ms at most', async () => {
  const STREAMS = 10;
  const pollIntervalMs = 1_000;
  const reading = await world.service({ hints: 'on', pollInterval: pollIntervalMs, schema: 'killed' });
  const writing = await world.service({ hints: 'on', schema: 'killed' });
  const delays: number[] = [];
  const reads = Array.from({ length: 50 }, async (_, reader) => {
    const numbers: number[] = [];
    for await (const { data } of reading.read(`load ${reader % STREAMS}`)) {
      const [number, at] = Buffer.from(data).toString().split(' ').map(Number) as [number, number];
      delays.push(performance.now() - at);
      numbers.push(number);
    }
    return numbers;
  });
  await waitFor(() => reading.stats().waitingStreams === STREAMS, { description: 'all to wait' });
  // An open loop: 10 chunks each 20 ms, whatever became of those before.
  const stalls = StallMeter.start();
  const appends: Promise<unknown>[] = [];
  let kills = 0;
  const begun = performance.now();
  for (let tick = 0; tick < 250; tick++) {
    if (tick % 50 === 0) kills += await world.terminate('^LISTEN "baton_pg_stream:killed"');
    for (let s = 0; s < STREAMS; s++) appends.push(writing.append(`load ${s}`, `${tick} ${performance.now()}`));
    const waitMs = begun + (tick + 1) * 20 - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  await Promise.all(appends);
  for (let s = 0; s < STREAMS; s++) await writing.closeStream(`load ${s}`);
  for (const numbers of await Promise.all(reads)) expect(numbers).toEqual(Array.from({ length: 250 }, (_, i) => i));
  // Two services listen; one may still be away when the next comes.
  expect(kills).toBeGreaterThanOrEqual(8);
  expect(reading.stats().reconnects).toBeGreaterThanOrEqual(4);
  expect(delays).toHaveLength(250 * 50);
  expect(Math.max(...delays)).toBeLessThanOrEqual(pollIntervalMs + 250 + stalls.stop());
}, 30_000);
