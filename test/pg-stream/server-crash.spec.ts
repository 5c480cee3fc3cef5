import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import {
  type ChildWorker,
  type ExclusivePostgres,
  hintsUnderTest,
  startPostgres,
  startProcess,
  waitFor,
} from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { textsOf } from './support/streams-world.js';

const entry = fileURLToPath(new URL('support/stream-process.ts', import.meta.url));

const CRASHES = 2;

/** What a process of `endure` says that it was told is stored. */
interface Acknowledged {
  readonly name: string;
  readonly indexes: readonly number[];
}

function acknowledgedBy({ lines }: ChildWorker): readonly Acknowledged[] {
  return lines.flatMap((line): Acknowledged[] => {
    const [kind, ...json] = line.split(' ');
    if (kind !== 'WRITTEN' && kind !== 'CALLED') return [];
    const { name, acknowledged } = JSON.parse(json.join(' ')) as { name: string; acknowledged: number | number[] };
    return [{ name, indexes: typeof acknowledged === 'number' ? [...Array(acknowledged).keys()] : acknowledged }];
  });
}

/** The numbers of each writer and caller, in the order of the stream. */
function byName(texts: readonly string[]): ReadonlyMap<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const text of texts) {
    const end = text.lastIndexOf(':');
    const own = numbers.get(text.slice(0, end)) ?? [];
    numbers.set(text.slice(0, end), own);
    own.push(Number(text.slice(end + 1)));
  }
  return numbers;
}

describe('a server that crashes again and again under load', () => {
  let server: ExclusivePostgres;
  let streams: PgStreamService;
  const children: ChildWorker[] = [];

  beforeAll(async () => {
    Logger.overrideLogger(false);
    server = await startPostgres({ exclusive: true });
    const options = { connectionString: server.url, hints: hintsUnderTest() };
    streams = new PgStreamService('crash', resolvePgStreamOptions(options));
    await streams.onModuleInit();
  });
  afterAll(async () => {
    for (const child of children) await child.stop();
    await streams.beforeApplicationShutdown();
    await streams.onApplicationShutdown();
    await server.stop();
  });

  it('takes back no acknowledgement, repeats no chunk of a producer, and ends no process and no reader', async () => {
    const received: string[] = [];
    const read = (async () => {
      for await (const { data } of streams.read('s')) received.push(Buffer.from(data).toString());
    })();
    for (let i = 0; i < 2; i++)
      children.push(
        await startProcess({ entry, args: ['endure', server.url, 's'], env: { TEST_HINTS: hintsUnderTest() } }),
      );
    const goesOn = async (): Promise<void> => {
      const { length } = received;
      await waitFor(() => received.length > length + 200, { description: 'the load to go on', timeoutMs: 20_000 });
    };
    // A start is refused while the server is away, which is not what is shown here.
    for (const child of children) await child.waitForLine(/^READY$/, 30_000);
    await goesOn();
    for (let crash = 0; crash < CRASHES; crash++) {
      await server.restart('immediate');
      await goesOn();
    }
    await streams.closeStream('over');
    for (const child of children) await child.waitForLine(/^WROTE$/, 20_000);
    await streams.closeStream('s');
    for (const child of children) expect(await child.exited).toMatchObject({ code: 0 });
    await read;

    const texts = await textsOf(streams.read('s'));
    expect(received).toEqual(texts);
    const hash = createHash('sha256');
    for (const text of texts) hash.update(`${text}\n`);
    const digest = hash.digest('hex');
    for (const { lines } of children)
      expect(lines.filter((line) => line.startsWith('READ '))).toEqual(Array(5).fill(`READ ${digest}`));
    const stored = byName(texts);
    for (const { name, indexes } of children.flatMap(acknowledgedBy)) {
      const own = stored.get(name) ?? [];
      // In order, none twice; of a writer exactly what was acknowledged, of a caller also what nobody could tell him of.
      expect(own).toEqual([...new Set(own)].toSorted((a, b) => a - b));
      expect(name.includes('writer') ? own : indexes.filter((index) => own.includes(index))).toEqual(indexes);
    }
    expect(children.flatMap(acknowledgedBy)).toHaveLength(16);
  }, 90_000);
});
