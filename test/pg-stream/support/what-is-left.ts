import type { PgStreamService } from '@nest-baton/pg-stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { collectGarbage } from '../../support/collect-garbage.js';

const MB = 1024 * 1024;

/** What clients that have left may not have left behind. */
export interface WhatIsLeft {
  readonly readers: number;
  readonly sseResponses: number;
  readonly watchedStreams: number;
  readonly waitingStreams: number;
  readonly sockets: number;
  readonly timers: number;
  /** Of V8, and of buffers outside it. */
  readonly heapMb: number;
}

export async function whatIsLeft(streams: PgStreamService, connections: () => Promise<number>): Promise<WhatIsLeft> {
  for (let nth = 0; nth < 3; nth++) {
    collectGarbage();
    await sleep(20);
  }
  const { readers, sseResponses, watchedStreams, waitingStreams } = streams.stats();
  const { heapUsed, external } = process.memoryUsage();
  return {
    readers,
    sseResponses,
    watchedStreams,
    waitingStreams,
    sockets: await connections(),
    timers: process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length,
    heapMb: (heapUsed + external) / MB,
  };
}
