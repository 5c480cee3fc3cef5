import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '@nest-baton/core';
import { PgStreamService, type StreamWriter } from '@nest-baton/pg-stream';
import { type Handoff, HandoffHandler, type HandoffWorker, NackError } from '@nest-baton/redis-reconcile';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { ClaimedRun } from '../run.js';
import { RunStore } from '../run-store.js';
import { RUNS_OPTIONS, type RunsOptions } from '../runs.options.js';
import { RunEndings } from './run-endings.js';
import { RunIndexer } from './run-indexer.js';
import { linesOf } from './run-lines.js';

/**
 * Works on the runs that this process owns.
 *
 * - Goes on where an earlier owner stopped: at the stream's tail, and at `indexed_to`.
 * - Resolves only when the run is final and committed; a crash before that leaves the hand-off to the next owner.
 * - Each write carries the hand-off's fence, so an owner of the past is refused by the database and not by its own good faith.
 */
@Injectable()
@HandoffHandler('runs', { concurrency: 20 })
export class RunWorker implements HandoffWorker {
  private readonly logger = new Logger(RunWorker.name);

  constructor(
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(PgStreamService) private readonly streams: PgStreamService,
    @Inject(RunIndexer) private readonly indexer: RunIndexer,
    @Inject(RunEndings) private readonly endings: RunEndings,
    @Inject(RUNS_OPTIONS) private readonly options: RunsOptions,
  ) {}

  async handle(handoff: Handoff): Promise<void> {
    const run = await this.claim(handoff);
    if (run === undefined) return;
    try {
      const writer = await this.streams.open(run.id, { group: 'runs', producer: { id: run.id, epoch: run.fence } });
      await this.writeAndIndex(run, writer, handoff);
      handoff.assertOwned();
      await this.endings.complete(run, writer, handoff.attempt);
    } catch (error) {
      this.logger.warn('a run was not finished by this owner', {
        run: run.id,
        attempt: handoff.attempt,
        fence: run.fence,
        error: describeError(error),
      });
      throw error;
    }
  }

  async onDeadLetter(handoff: Handoff, reason: string): Promise<void> {
    await this.endings.fail(handoff.dataStream, handoff.fence, `given up after ${handoff.attempt} attempts: ${reason}`);
  }

  /** `undefined`: the run is final, and the hand-off only needs its acknowledgement. */
  private async claim(handoff: Handoff): Promise<ClaimedRun | undefined> {
    for (;;) {
      const { dataStream: id, fence, attempt, consumer } = handoff;
      const claimed = await this.store.claim(id, fence, attempt, consumer);
      if (claimed !== undefined) return claimed;
      const row = await this.store.fenceOf(id);
      if (row?.state === 'done' || row?.state === 'failed') return undefined;
      if (row === undefined) throw new NackError({ message: `there is no run ${id}` });
      if (row.fence <= fence) throw new NackError({ message: `run ${id} changed hands while it was being claimed` });
      // The Redis server's clock was set back, or a replica with one behind took over: catch up with what the row has seen.
      await handoff.raiseFence(row.fence);
    }
  }

  /** Both at once: the indexer follows the writer. The first failure stops the other one. */
  private async writeAndIndex(run: ClaimedRun, writer: StreamWriter, handoff: Handoff): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([handoff.signal, stop.signal]);
    const written = this.write(run, writer, signal);
    const indexed = this.indexer.follow(run, written, signal);
    try {
      await Promise.all([written, indexed]);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled([written, indexed]);
      throw error;
    }
  }

  private async write(run: ClaimedRun, writer: StreamWriter, signal: AbortSignal): Promise<void> {
    for (const line of linesOf(run.input, writer.nextIndex)) {
      signal.throwIfAborted();
      await writer.append(line);
      if (this.options.paceMs > 0) await sleep(this.options.paceMs, undefined, { signal });
    }
  }
}
