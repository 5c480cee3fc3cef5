import type { IngestOptions } from '@nest-baton/ingest';
import type { LogLine } from '../../documents.js';
import { HandWrittenLoop } from '../../floor/hand-written-loop.js';
import type { OurService } from '../our-service.js';

/** What takes a document, and what its calls return. */
export interface Candidate {
  readonly add: (doc: LogLine) => unknown;
  readonly flush: () => Promise<void>;
  readonly stop: () => Promise<unknown>;
}

export type CandidateName = 'stringify' | 'written' | 'loop' | 'ours' | 'ourReceipts';

const BATCH_BYTES = 1_000_000;
const CONCURRENCY = 4;
/** One batch and a document. */
const SCRATCH_BYTES = 2 * BATCH_BYTES;
const DONE = Promise.resolve();

const OURS: Omit<IngestOptions, 'url' | 'index'> = {
  maxBatchBytes: BATCH_BYTES,
  maxBatchDocs: 100_000,
  concurrency: CONCURRENCY,
  maxBufferDocs: 1_000_000,
  compression: 'none',
};

export async function startCandidate(name: CandidateName, url: string): Promise<Candidate> {
  switch (name) {
    case 'stringify':
      return { add: (doc) => JSON.stringify(doc), flush: () => DONE, stop: () => DONE };
    case 'written':
      return { add: writer(), flush: () => DONE, stop: () => DONE };
    case 'loop': {
      const loop = new HandWrittenLoop({
        url,
        maxBatchBytes: BATCH_BYTES,
        concurrency: CONCURRENCY,
        compression: 'none',
      });
      return { add: (doc) => loop.add(doc), flush: () => loop.flush(), stop: () => loop.stop() };
    }
    case 'ours': {
      const { service, stop } = await startOurs(url);
      return { add: (doc) => service.ingest(doc), flush: () => service.flush(), stop };
    }
    case 'ourReceipts': {
      const { service, stop } = await startOurs(url);
      return { add: (doc) => service.ingestSync(doc), flush: () => service.flush(), stop };
    }
  }
}

/** Loaded only where it is needed: the others shall have no module of ours in their heap. */
async function startOurs(url: string): Promise<OurService> {
  return (await import('../our-service.js')).startOurService({ ...OURS, url });
}

/** The least that can be done with a document: its JSON in a buffer that exists already. */
function writer(): (doc: LogLine) => number {
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  let at = 0;
  return (doc) => {
    if (at > BATCH_BYTES) at = 0;
    return (at += scratch.write(JSON.stringify(doc), at));
  };
}
