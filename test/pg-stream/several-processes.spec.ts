import type { Chunk, PgStreamService } from '@nest-baton/pg-stream';
import { type ChildWorker, hintsUnderTest, startProcess } from '@nest-baton/testing';
import { fileURLToPath } from 'node:url';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const entry = fileURLToPath(new URL('support/stream-process.ts', import.meta.url));

let world: StreamsWorld;
let streams: PgStreamService;
const children: ChildWorker[] = [];
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(async () => {
  for (const child of children) await child.stop();
  await world.stop();
});

async function start(...args: string[]): Promise<ChildWorker> {
  return startWith({}, ...args);
}

async function startWith(env: Readonly<Record<string, string>>, ...args: string[]): Promise<ChildWorker> {
  const child = await startProcess({ entry, args: [args[0]!, world.url, ...args.slice(1)], env });
  children.push(child);
  return child;
}

describe('several processes', () => {
  it('A4 A5 whose clocks are hours apart append to one stream densely, and a live reader sees the order that a late one sees', async () => {
    const read = textsOf(streams.read('both'));
    const begunAt = Date.now();
    const shifted = (hours: number) => ({ TEST_CLOCK_SHIFT_MS: `${hours * 3_600_000}` });
    const processes = await Promise.all([
      startWith(shifted(1), 'write', 'both', '150'),
      startWith(shifted(-1), 'write', 'both', '150'),
    ]);
    for (let i = 0; i < 100; i++) await streams.append('both', `here:0:${i}`);
    for (const child of processes) expect(await child.exited).toMatchObject({ code: 0 });
    await streams.closeStream('both');
    const texts = await read;
    expect(texts).toHaveLength(2 * 4 * 150 + 100);
    const chunks: Chunk[] = [];
    for await (const chunk of streams.read('both')) chunks.push(chunk);
    expect(chunks.map(({ data }) => Buffer.from(data).toString())).toEqual(texts);
    expect(chunks.map(({ index }) => index)).toEqual([...texts.keys()]);
    // The server's clock, which is that of this machine here.
    for (const { createdAt } of chunks) expect(Math.abs(createdAt.getTime() - begunAt)).toBeLessThan(600_000);
    const byWriter = new Map<string, number[]>();
    for (const text of texts) {
      const [process = '', writer = '', number] = text.split(':');
      const key = `${process}:${writer}`;
      byWriter.set(key, [...(byWriter.get(key) ?? []), Number(number)]);
    }
    expect(byWriter.size).toBe(9);
    for (const own of byWriter.values()) expect(own).toEqual([...own.keys()]);
  });

  it('store 1 000 calls of a producer once, when two of them retry each call', async () => {
    const processes = await Promise.all([start('retry', 'twice', '1000', 'p'), start('retry', 'twice', '1000', 'p')]);
    let accepted = 0;
    for (const child of processes) {
      expect(await child.exited).toMatchObject({ code: 0 });
      accepted += Number(child.lines.find((line) => line.startsWith('ACCEPTED'))!.split(' ')[1]);
    }
    expect(accepted).toBe(1_000);
    await streams.closeStream('twice');
    expect(await textsOf(streams.read('twice'))).toEqual(Array.from({ length: 1_000 }, (_, i) => `${i}`));
  });

  it('write mixed batches to the same streams without a deadlock, and nothing is lost or stored twice', async () => {
    const deadlocks = async () => {
      await world.sql('SELECT pg_stat_clear_snapshot()');
      const [row] = await world.sql<{ n: string }>(
        'SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()',
      );
      return Number(row!.n);
    };
    const before = await deadlocks();
    const processes = await Promise.all(Array.from({ length: 4 }, () => start('mixed', 'mixed', '40')));
    let stored = 0;
    for (const child of processes) {
      expect(await child.exited).toMatchObject({ code: 0 });
      stored += Number(child.lines.find((line) => line.startsWith('STORED'))!.split(' ')[1]);
    }
    const texts: string[] = [];
    for (let i = 0; i < 30; i++) texts.push(...(await textsOf(streams.read(`mixed ${i}`, { live: false }))));
    expect(texts).toHaveLength(stored);
    expect(new Set(texts).size).toBe(stored);
    expect(await deadlocks()).toBe(before);
  });

  it('stay as long as a reader waits, also when the poll is all that keeps them', async () => {
    const child = await startProcess({ entry, args: ['listen', world.url, 'alone'], env: { TEST_HINTS: 'off' } });
    children.push(child);
    await child.waitForLine(/READY/, 30_000);
    await streams.append('alone', 'a');
    await child.waitForLine(/GOT a/, 30_000);
    // No connection of the pool is left to hold the process.
    await world.terminate('.');
    await streams.append('alone', 'b', { producer: { id: 'p', epoch: 1, seq: 0 } });
    await child.waitForLine(/GOT b/, 30_000);
    await streams.closeStream('alone');
    expect(await child.exited).toMatchObject({ code: 0 });
  });

  it('A22 survive the termination of their LISTEN connection, end by themselves and miss nothing', async () => {
    const child = await start('listen', 'survive');
    await child.waitForLine(/READY/, 30_000);
    for (let i = 1; i <= 3; i++) {
      await world.terminate('.');
      await streams.append('survive', `${i}`, { producer: { id: 'p', epoch: 1, seq: i - 1 } });
      await child.waitForLine(new RegExp(`GOT ${i}`), 30_000);
      if (hintsUnderTest() === 'on') await child.waitForLine(new RegExp(`LISTENING ${i}`), 30_000);
    }
    await streams.closeStream('survive');
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(child.lines).toContain('READ 123');
  });
});
