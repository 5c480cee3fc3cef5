import { describeError, PollLoop } from '@nest-baton/core';
import { InjectRedisReconcile, RedisReconcileService } from '@nest-baton/redis-reconcile';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  Optional,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { RunStore, type StalledRun } from '../run-store.js';
import { RUNS_OPTIONS, type RunsOptions } from '../runs.options.js';
import { RunEndings } from './run-endings.js';

/**
 * The guarantee behind the hint: hands off again every unfinished run that has not moved for a while, whatever lost it: a process that died between
 * commit and hand-off, a Redis that was flushed. Ends the ones whose hand-off was given up and whose ending was lost.
 */
@Injectable()
export class RunPoller implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(RunPoller.name);
  private readonly loop: PollLoop;

  constructor(
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunEndings) private readonly endings: RunEndings,
    @InjectRedisReconcile('runs') private readonly handoffs: RedisReconcileService,
    @Inject(RUNS_OPTIONS) private readonly options: RunsOptions,
    @Optional() @Inject(SchedulerRegistry) registry?: SchedulerRegistry,
  ) {
    this.loop = new PollLoop({
      name: 'baton:runs:poll',
      intervalMs: options.pollIntervalMs,
      pass: (signal) => this.pass(signal),
      onError: (error) => this.logger.warn('looking for stalled runs failed', { error: describeError(error) }),
      registry,
    });
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }

  private async pass(signal: AbortSignal): Promise<void> {
    for (const run of await this.store.takeStalled(this.options.stalledAfterMs)) {
      if (signal.aborted) return;
      try {
        await this.handOffAgain(run);
      } catch (error) {
        this.logger.warn('a stalled run was not handed off', { run: run.id, error: describeError(error) });
      }
    }
  }

  private async handOffAgain({ id, handoffId }: StalledRun): Promise<void> {
    const dead = handoffId === null ? undefined : await this.handoffs.deadLetters.get(handoffId);
    if (dead !== undefined) {
      await this.endings.fail(id, dead.fence, `given up after ${dead.attempts} attempts: ${dead.reason}`);
      return;
    }
    // While the hand-off is known to Redis, its dedupe id makes this add nothing.
    await this.store.rememberHandoff(id, await this.handoffs.produce(id, { dedupeId: id }));
  }
}
