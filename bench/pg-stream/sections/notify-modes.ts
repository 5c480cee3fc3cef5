import { expectCount, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { chunksOf, type OpenLoad } from '../measuring/open-loop-writers.js';
import { StreamProcess } from '../stream-process.js';
import { OURS, type StreamBench } from '../targets.js';
import { listen } from './delivering.js';

const MODES = ['coalesced', 'transactional', 'off'] as const;
type Mode = (typeof MODES)[number];

const STREAMS = 10;
const PER_SECOND = 500;
/** With `off` it is all that readers have. */
const POLL_MS = 1_000;
const PATIENCE_MS = 30_000;

interface Side {
  readonly mode: Mode;
  readonly writer: StreamProcess;
  readonly reader: StreamProcess;
}

/** What telling other processes costs those who write, and what it brings those who read. A second process LISTENs throughout, as somebody has to be told. */
export async function notifyModes(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const sides: Side[] = [];
  for (const mode of MODES) {
    const url = await server.createDatabase(`notify-${mode}`);
    const writer = use(await StreamProcess.start(OURS, url, { notify: mode }));
    const reader = use(await StreamProcess.start(OURS, url, { pollInterval: POLL_MS }));
    sides.push({ mode, writer, reader });
  }
  await rates(bench, sides, 1);
  await rates(bench, sides, 256);
  await delivery(bench, sides);
}

async function rates(bench: StreamBench, sides: readonly Side[], callers: number): Promise<void> {
  const who = callers === 1 ? 'one awaiting writer' : `${callers} callers on one stream`;
  bench.say(who);
  const ms = bench.pick(3_000, 300);
  const appends = ({ mode, writer }: Side): Subject => ({
    name: mode,
    run: () => writer.run({ action: 'append', callers, streams: 1, ms }),
  });
  const measured = await bench.interleave(sides.map(appends), 'chunksPerSecond');
  for (const mode of MODES) bench.shows(`${who}, notify ${mode}`, measured.of(mode, 'chunksPerSecond'), 'chunks/s');
  for (const mode of ['coalesced', 'transactional'] as const)
    bench.shows(`${who}, notify ${mode} against off`, measured.ratio('chunksPerSecond', mode, 'off'), 'x');
}

/** After the rates, which empty the tables under any reader. */
async function delivery(bench: StreamBench, sides: readonly Side[]): Promise<void> {
  bench.say('to readers in another process');
  const load: OpenLoad = { perSecond: PER_SECOND, seconds: bench.pick(10, 1), streams: STREAMS };
  for (const { reader, writer } of sides) await listen(reader, writer, STREAMS);
  const deliveries = ({ mode, writer, reader }: Side): Subject => ({
    name: mode,
    run: async () => {
      await writer.run({ action: 'write', ...load });
      const arrived = await reader.run({ action: 'collect', expected: chunksOf(load), patienceMs: PATIENCE_MS });
      expectCount(`chunks at the readers, notify ${mode}`, arrived.received ?? NaN, chunksOf(load));
      expectCount(`chunks that were not the next of their stream, notify ${mode}`, arrived.disorder ?? NaN, 0);
      return arrived;
    },
  });
  const measured = await bench.interleave(sides.map(deliveries), 'p50');
  for (const mode of MODES) {
    const note = mode === 'off' ? `the poll alone, each ${POLL_MS} ms` : undefined;
    bench.shows(`append to a reader in another process, notify ${mode}, p50`, measured.of(mode, 'p50'), 'ms', note);
    bench.shows(`append to a reader in another process, notify ${mode}, p99`, measured.of(mode, 'p99'), 'ms', note);
  }
}
