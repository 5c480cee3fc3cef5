import { LeaseLostError } from '@nest-baton/core';
import { PgStreamService, type StreamWriter } from '@nest-baton/pg-stream';
import { WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import type { ClaimedRun } from '../run.js';
import { RunStore } from '../run-store.js';

/** The two ways in which a run ends. Row, stream and event change in one transaction, so no reader sees one without the others. */
@Injectable()
export class RunEndings {
  private readonly logger = new Logger(RunEndings.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(PgStreamService) private readonly streams: PgStreamService,
    @Inject(WebhookOutboxService) private readonly outbox: WebhookOutboxService,
  ) {}

  /** @throws LeaseLostError when another owner has the run: everything is rolled back, and the hand-off must not be acknowledged. */
  async complete(run: ClaimedRun, writer: StreamWriter, attempt: number): Promise<void> {
    await this.dataSource.transaction(async (transaction) => {
      if (!(await this.store.finish(transaction, run.id, run.fence)))
        throw new LeaseLostError(`run ${run.id} has another owner; fence ${run.fence} may not complete it`);
      await writer.close({ transaction });
      await this.outbox.send(
        { type: 'run.done', id: `run.done:${run.id}`, data: { id: run.id, chunks: writer.nextIndex, attempt } },
        { transaction },
      );
    });
  }

  /**
   * Ends a run whose hand-off was given up, with the dead letter's fence, which is above that of every owner. Leaves a final run alone, so it
   * may be called any number of times.
   */
  async fail(id: string, fence: number, failure: string): Promise<void> {
    await this.dataSource.transaction(async (transaction) => {
      if (!(await this.store.fail(transaction, id, fence, failure)))
        return this.explainUnfailed(transaction, id, fence);
      await this.streams.closeStream(id, {
        status: 'error',
        message: failure,
        producer: { id, epoch: fence, seq: 0 },
        transaction,
      });
      await this.outbox.send({ type: 'run.failed', id: `run.failed:${id}`, data: { id, failure } }, { transaction });
    });
  }

  private async explainUnfailed(transaction: EntityManager, id: string, fence: number): Promise<void> {
    const row = await this.store.fenceOf(id, transaction);
    if (row === undefined) this.logger.warn('a dead letter names a run that does not exist', { run: id });
    else if (row.state !== 'done' && row.state !== 'failed')
      throw new LeaseLostError(`run ${id} is owned with fence ${row.fence}, above the dead letter's ${fence}`);
  }
}
