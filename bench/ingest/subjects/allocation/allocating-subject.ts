import { createHook } from 'node:async_hooks';
import { getHeapStatistics } from 'node:v8';
import { expectCount, type Parameters, type Sample, type ServedSubject } from '../../../harness/index.js';
import { type LogLine, logLine } from '../../documents.js';
import { Collections } from '../collections.js';
import { type CandidateName, startCandidate } from './candidates.js';

interface AllocationRun {
  readonly documents: number;
  /** `bytes`: of the JavaScript heap, exact as long as nothing is collected. `promises`: counted by a hook, which costs memory itself. */
  readonly counted: 'bytes' | 'promises';
}

const DOCS_A_TURN = 1_000;

/**
 * What documents allocate: in the calls themselves, and in all until they have been sent. Runs with a young generation so large that nothing
 * is collected meanwhile; a run in which something was is refused. The documents exist beforehand.
 */
export async function startAllocating(setup: Parameters): Promise<ServedSubject> {
  const { url, candidate } = setup as { readonly url: string; readonly candidate: CandidateName };
  const { add, flush, stop } = await startCandidate(candidate, url);
  const collections = new Collections();
  const run = async (parameters: Parameters): Promise<Sample> => {
    const { documents, counted } = parameters as unknown as AllocationRun;
    const docs = Array.from({ length: documents }, (_, id) => logLine(id));
    const meter = counted === 'bytes' ? heapMeter() : promiseMeter();
    globalThis.gc?.();
    await collections.take();
    const before = meter.read();
    const { inCalls, returned } = await new Promise<Fed>((resolve) => feed(docs, add, meter, resolve));
    await flush();
    const inAll = meter.read() - before;
    meter.stop();
    const { count } = await collections.take();
    if (counted === 'bytes') expectCount('garbage collections meanwhile', count, 0);
    return { inCalls: inCalls / documents, inAll: inAll / documents, returned };
  };
  return { run, stop: async () => void (await stop()) };
}

interface Fed {
  readonly inCalls: number;
  /** How many different objects the calls returned, as far as neighbours differ. */
  readonly returned: number;
}

/** A thousand documents a turn of the event loop, without a promise of its own: they are what is counted. */
function feed(docs: readonly LogLine[], add: (doc: LogLine) => unknown, meter: Meter, done: (fed: Fed) => void): void {
  let inCalls = 0;
  let returned = 0;
  let last: unknown;
  let next = 0;
  const turn = (): void => {
    const end = Math.min(docs.length, next + DOCS_A_TURN);
    const before = meter.read();
    for (; next < end; next++) {
      const result = add(docs[next] as LogLine);
      if (result !== last) returned++;
      last = result;
    }
    inCalls += meter.read() - before - meter.ownCost;
    if (next < docs.length) setImmediate(turn);
    else done({ inCalls, returned });
  };
  turn();
}

interface Meter {
  /** What one reading adds itself. */
  readonly ownCost: number;
  read(): number;
  stop(): void;
}

function heapMeter(): Meter {
  const read = (): number => getHeapStatistics().used_heap_size;
  const first = read();
  return { read, ownCost: read() - first, stop: () => undefined };
}

function promiseMeter(): Meter {
  let promises = 0;
  const hook = createHook({ init: (_, type) => void (type === 'PROMISE' && promises++) }).enable();
  return { read: () => promises, ownCost: 0, stop: () => void hook.disable() };
}
