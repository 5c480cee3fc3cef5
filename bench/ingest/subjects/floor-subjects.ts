import { type Parameters, type ServedSubject } from '../../harness/index.js';
import { HandWrittenLoop } from '../floor/hand-written-loop.js';
import { type FloorOptions, postLines } from '../floor/post-lines.js';
import { PromisePerDocument } from '../floor/promise-per-document.js';
import { linesFor } from '../documents.js';
import { closedLoop, fireAndForget, withReceipts } from './driving.js';
import { served, type ThroughputSetup } from './served.js';

export function startLoop(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const loop = new HandWrittenLoop({ ...(options as FloorOptions), url });
  return served(
    setup,
    () => loop.stop(),
    async (run) => {
      await fireAndForget(run.documents, linesFor(run), (doc) => loop.add(doc));
      await loop.flush();
    },
  );
}

export function startPromiseLoop(setup: Parameters): Promise<ServedSubject> {
  const { url, window, options } = setup as unknown as ThroughputSetup;
  const loop = new PromisePerDocument({ ...(options as FloorOptions), url });
  return served(
    setup,
    () => loop.stop(),
    (run) => {
      const line = linesFor(run);
      return withReceipts({
        count: run.documents,
        window: run.window ?? window,
        send: (id) => loop.add(line(id)),
        flush: () => loop.flush(),
      });
    },
  );
}

/** A request for each document: what callers do who have no client at all. */
export function startPostEach(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const server = postLines({ ...(options as FloorOptions), url });
  return served(
    setup,
    () => server.stop(),
    ({ callers = 1, durationMs = 0 }) =>
      closedLoop(callers, durationMs, (doc) => server.post(`${JSON.stringify(doc)}\n`)),
  );
}
