import { randomUUID } from 'node:crypto';
import { describeError } from '@nest-baton/core';
import { PgStreamService } from '@nest-baton/pg-stream';
import { InjectRedisReconcile, RedisReconcileService } from '@nest-baton/redis-reconcile';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { Problem } from '../../http/problem.js';
import type { RunState, RunStatus } from '../run.js';
import { type AcceptedRun, RunStore } from '../run-store.js';
import { RUNS_OPTIONS, type RunsOptions } from '../runs.options.js';
import { parseRunRequest, readRunInput } from './run-request.js';

export interface RunView extends Omit<RunStatus, 'failure'> {
  readonly chunks: number;
  readonly failure?: string;
}

/** Takes runs in, and tells how they stand. */
@Injectable()
export class RunsService {
  private readonly logger = new Logger(RunsService.name);

  constructor(
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(PgStreamService) private readonly streams: PgStreamService,
    @InjectRedisReconcile('runs') private readonly handoffs: RedisReconcileService,
    @Inject(RUNS_OPTIONS) private readonly options: RunsOptions,
  ) {}

  /** Durable once this resolves. What follows it, the hand-off, may be lost: the poller repeats it. */
  async accept(body: unknown, idempotencyKey: string | undefined): Promise<{ id: string; state: RunState }> {
    const request = parseRunRequest(body);
    const { requestHash } = request;
    // Before the input is read: a repeated request gets its run also when the file it named is gone.
    const earlier = idempotencyKey === undefined ? undefined : await this.store.byIdempotencyKey(idempotencyKey);
    if (earlier !== undefined) return answerFor(earlier, requestHash);
    const id = randomUUID();
    const input = await readRunInput(request, this.options);
    const run = await this.store.accept({ id, input, idempotencyKey, requestHash });
    if (run.id === id && this.options.hints) void this.handOff(id);
    return answerFor(run, requestHash);
  }

  async get(id: string): Promise<RunView> {
    const { failure, ...status } = await this.requireRun(id);
    const chunks = await this.countChunks(id);
    return { ...status, chunks, ...(failure === null ? {} : { failure }) };
  }

  /** @throws Problem 404 */
  async requireRun(id: string): Promise<RunStatus> {
    const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
    const status = isId ? await this.store.status(id) : undefined;
    if (status === undefined) throw new Problem(404, 'RUN_NOT_FOUND', 'There is no run with this id.');
    return status;
  }

  private async handOff(id: string): Promise<void> {
    try {
      await this.store.rememberHandoff(id, await this.handoffs.produce(id, { dedupeId: id }));
    } catch (error) {
      this.logger.warn('a run waits for the poller, since it could not be handed off', {
        run: id,
        error: describeError(error),
      });
    }
  }

  private async countChunks(id: string): Promise<number> {
    try {
      return (await this.streams.info(id)).tailIndex + 1;
    } catch (error) {
      if ((error as { code?: unknown }).code === 'STREAM_NOT_FOUND') return 0;
      throw error;
    }
  }
}

/** @throws Problem 409 when the key was used for something else. */
function answerFor(run: AcceptedRun, requestHash: Buffer): { id: string; state: RunState } {
  if (!run.requestHash.equals(requestHash))
    throw new Problem(409, 'IDEMPOTENCY_CONFLICT', 'This Idempotency-Key was used before with another body.');
  return { id: run.id, state: run.state };
}
