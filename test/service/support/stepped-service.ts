/**
 * The service, as `src/main.ts` starts it, held at one step of a run: `node stepped-service.ts <step>`. Prints `READY` once
 * it listens and `STEP <step>` once it is there, so that a test can kill the process at exactly that point, or stop it; SIGCONT lets it go on.
 */
import 'reflect-metadata';
import { errorCode } from '@nest-baton/core';
import { IngestService } from '@nest-baton/ingest';
import { PgStreamService, type StreamWriter } from '@nest-baton/pg-stream';
import { WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { readAppConfig } from '../../../src/app.config.js';
import { createApp } from '../../../src/create-app.js';
import { RunStore } from '../../../src/runs/run-store.js';
import { RunEndings } from '../../../src/runs/working/run-endings.js';
import { RunWorker } from '../../../src/runs/working/run.worker.js';

const wanted = process.argv[2];

async function reach(step: string): Promise<void> {
  if (step !== wanted) return;
  // First the listener, then the line: a SIGSTOP that answers the line at once must not come between them.
  const released = new Promise<void>((resolve) => process.once('SIGCONT', resolve));
  process.stdout.write(`STEP ${step}\n`);
  await released;
}

/** Prints `REFUSED <code>` when the write is, and lets its error go on. */
async function telling<T>(write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    process.stdout.write(`REFUSED ${errorCode(error)}\n`);
    throw error;
  }
}

/** `method` of `prototype`, followed by the step. */
function stepAfter(prototype: object, method: string, step: string): void {
  const methods = prototype as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const original = methods[method];
  if (original === undefined) throw new Error(`there is no method ${method} to stop after`);
  methods[method] = async function (...args: unknown[]) {
    const result = await original.apply(this, args);
    await reach(step);
    return result;
  };
}

const complete = RunEndings.prototype.complete;
RunEndings.prototype.complete = async function (...args) {
  await reach('before the completion');
  return telling(complete.apply(this, args));
};

stepAfter(RunStore.prototype, 'accept', 'accepted');
stepAfter(RunStore.prototype, 'claim', 'claimed');
stepAfter(IngestService.prototype, 'ingestSync', 'ingested');
stepAfter(RunStore.prototype, 'moveIndexedTo', 'indexed');
stepAfter(RunStore.prototype, 'finish', 'finished in an open transaction');
stepAfter(WebhookOutboxService.prototype, 'send', 'sent in an open transaction');
stepAfter(RunEndings.prototype, 'complete', 'committed');
stepAfter(RunWorker.prototype, 'handle', 'handled');

const open = PgStreamService.prototype.open;
PgStreamService.prototype.open = async function (...args): Promise<StreamWriter> {
  const writer = await open.apply(this, args);
  await reach('opened');
  const append = writer.append.bind(writer);
  let appended = 0;
  writer.append = async (data) => {
    if (appended === 1) await reach('before the second append');
    const result = await telling(append(data));
    if (++appended === 2) await reach('appended');
    return result;
  };
  return writer;
};

await createApp(readAppConfig());
process.stdout.write('READY\n');
