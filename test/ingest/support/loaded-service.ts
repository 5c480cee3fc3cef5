import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { type DocumentOutcome, IngestModule, IngestService } from '@nest-baton/ingest';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/**
 * A service at full load, to be told to end: `loaded-service <url> <file>`. Writes to the file: `plain <from> <count>` for what it hands in and forgets,
 * `sent <from> <count>` and then `call <from> <statuses>` for what it waits for, `hook <ids>` for what is handed back, `discard <id> <reason>`, and
 * `late <reason>` for a call after the end. To a file, since a pipe whose reader is slow loses its end together with the process.
 */
const [url = '', file = ''] = process.argv.slice(2);
let hasClosed = false;
const say = (line: string): void => appendFileSync(file, `${line}\n`);
const idsOf = (docs: readonly unknown[]): string => docs.map((doc) => (doc as { readonly id: number }).id).join();

@Module({
  imports: [
    IngestModule.forRoot({
      ...{ url, index: 'app-logs', maxBatchDocs: 20, maxBufferDocs: 500, closeTimeout: 500 },
      hooks: {
        onUndelivered: (docs) => say(`hook ${idsOf(docs)}`),
        onDiscard: (doc, reason) => {
          hasClosed ||= reason === 'closed';
          say(`discard ${idsOf([doc])} ${reason}`);
        },
      },
    }),
  ],
})
class LoadedModule {}

const app = await NestFactory.createApplicationContext(LoadedModule, { logger: false });
app.enableShutdownHooks();
const service = app.get<IngestService<{ readonly id: number }>>(IngestService);
let next = 0;

function take(count: number): { readonly id: number }[] {
  return Array.from({ length: count }, () => ({ id: next++ }));
}

function wordOf(outcome: DocumentOutcome): string {
  if (outcome.status === 'discarded') return outcome.reason;
  return outcome.status === 'accepted' && outcome.maybeDuplicate ? 'duplicate' : outcome.status;
}

async function forget(): Promise<void> {
  while (!hasClosed) {
    const docs = take(10);
    say(`plain ${docs[0]?.id} ${docs.length}`);
    await service.ingest(docs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function wait(): Promise<void> {
  for (;;) {
    const docs = take(10);
    say(`sent ${docs[0]?.id} ${docs.length}`);
    const outcomes = await service.ingestBatch(docs).outcomes;
    say(`call ${docs[0]?.id} ${outcomes.map(wordOf).join()}`);
    // Whoever is told so calls no more; that all the same it is safe to, `late` shows.
    if (outcomes.some((outcome) => outcome.status === 'discarded' && outcome.reason === 'closed')) return;
  }
}

service.on('closed', () => {
  const [doc] = take(1);
  if (doc !== undefined)
    void service.ingestSync(doc).catch((error: { reason?: string }) => say(`late ${error.reason}`));
});
for (let i = 0; i < 20; i++) void wait();
for (let i = 0; i < 4; i++) void forget();
process.stdout.write('ready\n');
