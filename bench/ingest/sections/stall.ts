import { type Bench, single } from '../../harness/index.js';
import { startSink } from '../sink/start-sink.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const BUFFER_BYTES = 64 * 2 ** 20;
const STALL_MS = { full: 60_000, short: 5_000, quick: 2_000 };

/** Once, not in pairs: nobody else is there to be compared with, and the bound is absolute. */
export async function measureStall(bench: Bench<TargetId>): Promise<void> {
  await bench.section('a server that answers nothing', async (use) => {
    const sink = use(await startSink());
    const setup = { url: sink.url, maxBufferBytes: BUFFER_BYTES };
    const ours = use(await startSubject('stalled', 'stalled', setup, ['--expose-gc']));
    const stallMs = STALL_MS[bench.scale];
    const { growthMb = NaN, p99 = NaN, max = NaN, bufferedMb = NaN } = await ours.run({ stallMs });
    const note = `${stallMs / 1000} s, 10 producers, ${bufferedMb.toFixed(1)} MB buffered of 64`;
    bench.meets('memory', single(growthMb - BUFFER_BYTES / 2 ** 20), note);
    bench.meets('eventLoop', single(p99), `${note}; max ${max.toFixed(0)} ms`);
  });
}
