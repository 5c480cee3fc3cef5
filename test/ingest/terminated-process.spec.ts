import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertConservation, type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import { INDEX, startSink, stopAll } from './support/bench.js';

let child: ChildWorker | undefined;
let folder: string;

/** What the child said of each document. */
function accountOf(lines: readonly string[]) {
  const admitted: string[] = [];
  const plain = new Set<string>();
  const ended = {
    accepted: [] as string[],
    duplicate: [] as string[],
    closed: [] as string[],
    unknown: [] as string[],
  };
  const handedBack = new Set<string>();
  const discarded = new Set<string>();
  const range = (from: string, count: string) =>
    Array.from({ length: Number(count) }, (_, i) => String(Number(from) + i));
  for (const line of lines) {
    const [word, first = '', second = ''] = line.split(' ');
    if (word === 'plain') for (const id of range(first, second)) plain.add(id);
    if (word === 'plain' || word === 'sent') admitted.push(...range(first, second));
    if (word === 'hook') for (const id of first.split(',')) handedBack.add(id);
    if (word === 'discard') discarded.add(first);
    if (word === 'call')
      second.split(',').forEach((status, i) => ended[status as keyof typeof ended].push(String(Number(first) + i)));
  }
  for (const id of plain) {
    if (discarded.has(id)) ended.closed.push(id);
    else if (handedBack.has(id)) ended.unknown.push(id);
    else ended.accepted.push(id);
  }
  return { admitted, ended, handedBack, plain };
}

describe('a process that is told to end at full load, with a slow server', () => {
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'baton-terminated-'))));
  afterEach(async () => {
    await child?.stop();
    await stopAll();
    await rm(folder, { recursive: true });
  });

  it.each([
    ['once', 1],
    ['twice', 2],
  ])('%s, delivers what it can in its time, and tells of everything else', async (_times, signals) => {
    const sink = await startSink();
    sink.fail({ kind: 'slow', delayMs: 300 });
    const file = join(folder, 'account');
    child = await startProcess({ entry: 'test/ingest/support/loaded-service.ts', args: [sink.url, file] });
    await child.waitForLine(/^ready/);
    await waitFor(() => sink.requests.length > 6, { description: 'it is at work' });
    const begun = performance.now();
    for (let i = 0; i < signals; i++) {
      child.signal('SIGTERM');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await child.exited).toEqual({ code: null, signal: 'SIGTERM' });
    expect(performance.now() - begun).toBeLessThan(3_000);
    await waitFor(() => sink.openRequests === 0, { description: 'the server has ended every request' });

    const lines = (await readFile(file, 'utf8')).split('\n');
    const { admitted, ended, handedBack, plain } = accountOf(lines);
    const report = assertConservation({
      what: 'documents',
      admitted,
      ended,
      effects: {
        stored: {
          seen: sink.documents(INDEX).map(({ id }) => String(id)),
          requiredFor: ['accepted', 'duplicate'],
          forbiddenFor: ['closed'],
          mayRepeat: [...ended.duplicate, ...ended.unknown],
        },
      },
    });
    expect(report.ended['accepted']).toBeGreaterThan(100);
    expect(report.ended['closed']).toBeGreaterThan(0);
    // Fire and forget: what was let in is handed back; a hook is told of the last calls as well, which were refused at the door.
    const atTheDoor = [...ended.closed, ...ended.unknown].filter((id) => plain.has(id) && !handedBack.has(id));
    expect(handedBack.size).toBeGreaterThan(0);
    expect(atTheDoor.length).toBeLessThanOrEqual(4 * 10);
    expect(lines.filter((line) => line.startsWith('late '))).toEqual(['late closed']);
  });
});
