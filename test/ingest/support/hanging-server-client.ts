import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngestService, resolveIngestOptions } from '@nest-baton/ingest';
import { Logger } from '@nestjs/common';
import { collectGarbage } from '../../support/collect-garbage.js';

/**
 * A client of a server that takes connections and never answers: `hanging-server-client <url> <seconds>`. Four producers hand in as fast as they are
 * let in. Prints what the process holds at a third of the time, when the buffer has long been full, and in the end; then how the close went.
 */
const [url = '', seconds = '6'] = process.argv.slice(2);
const lastsMs = Number(seconds) * 1_000;
Logger.overrideLogger(false);

const lost: unknown[] = [];
const service = new IngestService<{ readonly id: number; readonly text: string }>(
  resolveIngestOptions({
    ...{ url, index: 'app-logs', maxBufferDocs: 1_000_000, maxBufferBytes: 8 * 1_024 * 1_024, requestTimeout: 300 },
    ...{ retry: { base: 10, cap: 50 }, hooks: { onUndelivered: (docs) => void lost.push(...docs) } },
  }),
);

const text = 'x'.repeat(500);
let handedIn = 0;
let isOver = false;

async function produce(): Promise<void> {
  while (!isOver) {
    const documents = Array.from({ length: 100 }, () => ({ id: handedIn++, text }));
    await service.ingest(documents);
  }
}

function look(): void {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const { bufferedBytes, waitingDocs, retries } = service.stats();
  const held = { rss, heapUsed, external, bufferedBytes, waitingDocs, retries };
  process.stdout.write(`held ${JSON.stringify(held)}\n`);
}

const delays = monitorEventLoopDelay({ resolution: 5 });
const producers = Promise.all([produce(), produce(), produce(), produce()]);
await sleep(lastsMs / 3);
look();
delays.enable();
await sleep((lastsMs * 2) / 3);
process.stdout.write(`delay ${delays.percentile(99) / 1e6}\n`);
look();
isOver = true;
const report = await service.close({ timeout: 500 });
await producers;
process.stdout.write(`closed ${JSON.stringify({ ...report, handedIn, undelivered: lost.length })}\n`);
