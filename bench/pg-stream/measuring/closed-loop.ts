import { expectCount } from '../../harness/measuring/check.js';
import type { Sample } from '../../harness/measuring/pairs.js';
import type { FloorStreams } from '../subjects/floor.js';
import type { OurStreams } from '../subjects/ours.js';
import { CHUNK, type StreamSubject } from '../subjects/stream-subject.js';

/** Each caller waits for its answer before it calls again. */
export interface ClosedLoad {
  readonly callers: number;
  readonly streams: number;
  readonly ms: number;
  /** Of a chunk; about 200 when it is left out. */
  readonly bytes?: number;
}

/** Chunks of one call for many. */
export const BATCH = 100;

const CHUNKS: Buffer[] = Array.from({ length: BATCH }, () => CHUNK);

/** Chunks a second, one a call, all of them committed, counted in the table afterwards. */
export function appendRate(subject: StreamSubject, load: ClosedLoad): Promise<Sample> {
  const names = streamNames(load.streams);
  const chunk = chunkOf(load);
  return counted(subject, load, async (caller) => {
    await subject.append(names[caller % names.length] as string, chunk);
    return 1;
  });
}

/** Of `load.bytes` each: `CHUNK` where that is left out. */
function chunkOf({ bytes }: ClosedLoad): Buffer {
  return bytes === undefined ? CHUNK : Buffer.alloc(bytes, CHUNK);
}

/** By the subject's own call for many chunks, 100 of them each. */
export function batchRate(subject: StreamSubject, load: ClosedLoad): Promise<Sample> {
  const { appendMany } = subject;
  if (appendMany === undefined) throw new Error(`${subject.name} has no call for many chunks`);
  const names = streamNames(load.streams);
  return counted(subject, load, async (caller) => {
    await appendMany(names[caller % names.length] as string, CHUNKS);
    return BATCH;
  });
}

/** By writers under a producer, one a stream, so that every call can be repeated and is stored once. */
export async function writerRate(ours: OurStreams, load: ClosedLoad): Promise<Sample> {
  const writers = await Promise.all(streamNames(load.streams).map((name) => ours.openWriter(name)));
  return counted(ours, load, async (caller) => {
    const appended = await writers[caller % writers.length]?.append(CHUNK);
    if (appended?.duplicate !== false) throw new Error('an append under a producer was not stored');
    return 1;
  });
}

/** As `writerRate`, by a writer's call for many chunks. */
export async function writerBatchRate(ours: OurStreams, load: ClosedLoad): Promise<Sample> {
  const writers = await Promise.all(streamNames(load.streams).map((name) => ours.openWriter(name)));
  return counted(ours, load, async (caller) => {
    const appended = await writers[caller % writers.length]?.appendMany(CHUNKS);
    if (appended?.duplicate !== false) throw new Error('a list under a producer was not stored');
    return BATCH;
  });
}

/** Multi-row inserts of 100 on the floor's one connection. */
export function floorRate(floor: FloorStreams, load: ClosedLoad): Promise<Sample> {
  const names = streamNames(load.streams);
  return counted(floor, load, async () => {
    await floor.insert(names, CHUNKS);
    return BATCH;
  });
}

interface Countable {
  readonly name: string;
  count(): Promise<number>;
  clear(): Promise<void>;
}

/** @throws WorkNotDoneError unless the table holds exactly what the callers were told is stored. */
async function counted(
  subject: Countable,
  { callers, ms }: ClosedLoad,
  call: (caller: number) => Promise<number>,
): Promise<Sample> {
  const before = await subject.count();
  const begun = performance.now();
  const until = begun + ms;
  let chunks = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      do {
        const stored = await call(caller);
        chunks += stored;
      } while (performance.now() < until);
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  expectCount(`chunks that ${subject.name} has stored`, (await subject.count()) - before, chunks);
  await subject.clear();
  return { chunks, chunksPerSecond: chunks / seconds };
}

export function streamNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `stream-${i}`);
}
