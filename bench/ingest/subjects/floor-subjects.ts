import { type Parameters, type ServedSubject } from '../../harness/index.js';
import { HandWrittenLoop } from '../floor/hand-written-loop.js';
import type { FloorOptions } from '../floor/post-lines.js';
import { PromisePerDocument } from '../floor/promise-per-document.js';
import { logLine } from '../documents.js';
import { fireAndForget, withReceipts } from './driving.js';
import { served, type ThroughputSetup } from './served.js';

export function startLoop(setup: Parameters): Promise<ServedSubject> {
  const { url, options } = setup as unknown as ThroughputSetup;
  const loop = new HandWrittenLoop({ ...(options as FloorOptions), url });
  return served(
    setup,
    () => loop.stop(),
    async ({ documents }) => {
      await fireAndForget(documents, (doc) => loop.add(doc));
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
    ({ documents }) =>
      withReceipts({
        count: documents,
        window,
        send: (id) => loop.add(logLine(id)),
        flush: () => loop.flush(),
      }),
  );
}
