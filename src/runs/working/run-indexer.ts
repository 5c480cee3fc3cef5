import { LeaseLostError } from '@nest-baton/core';
import { IngestService } from '@nest-baton/ingest';
import { type Chunk, PgStreamService } from '@nest-baton/pg-stream';
import { Inject, Injectable } from '@nestjs/common';
import type { ClaimedRun } from '../run.js';
import { RunStore } from '../run-store.js';

/** What a chunk becomes in the search engine. The id is the same on every attempt, to deduplicate on. */
export interface RunDocument {
  readonly id: string;
  readonly run: string;
  readonly index: number;
  readonly text?: string;
  /** In place of `text` where the chunk is not valid UTF-8. */
  readonly base64?: string;
}

/** Chunks a page: what may be indexed twice when the owner dies between the server's answer and our own commit. */
export const INDEX_PAGE_CHUNKS = 100;

/** Between pages while the run is written: five pages a second carry more than one line each. */
const PAUSE_MS = 200;

/** Reads the run's stream behind the writer and indexes it. Run by the owner, under its fence. */
@Injectable()
export class RunIndexer {
  constructor(
    @Inject(PgStreamService) private readonly streams: PgStreamService,
    @Inject(IngestService) private readonly ingest: IngestService<RunDocument>,
    @Inject(RunStore) private readonly store: RunStore,
  ) {}

  /**
   * Resolves when every chunk is indexed and `written` has resolved. `indexed_to` moves only after the server has the page, so a crash
   * repeats at most one page.
   *
   * @throws LeaseLostError when another owner has the run.
   */
  async follow(run: ClaimedRun, written: Promise<void>, signal: AbortSignal): Promise<void> {
    let isWritten = false;
    const whenWritten = written.then(
      () => void (isWritten = true),
      () => undefined, // the writer's failure ends the run and aborts the signal
    );
    let indexedTo = run.indexedTo;
    for (;;) {
      const isLastRound = isWritten;
      const { data, hasMore } = await this.streams.page(run.id, { startIndex: indexedTo, limit: INDEX_PAGE_CHUNKS });
      if (data.length > 0) {
        await this.ingest.ingestSync(
          data.map((chunk) => toDocument(run.id, chunk)),
          { signal },
        );
        indexedTo += data.length;
        if (!(await this.store.moveIndexedTo(run.id, run.fence, indexedTo)))
          throw new LeaseLostError(`run ${run.id} has another owner; fence ${run.fence} may not index it any more`);
      } else if (isLastRound) return;
      signal.throwIfAborted();
      if (!hasMore && !isWritten) await Promise.race([whenWritten, pause(PAUSE_MS, signal)]);
    }
  }
}

function toDocument(run: string, { index, data }: Chunk): RunDocument {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const text = bytes.toString('utf8');
  const isText = Buffer.from(text, 'utf8').equals(bytes);
  return { id: `${run}:${index}`, run, index, ...(isText ? { text } : { base64: bytes.toString('base64') }) };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
