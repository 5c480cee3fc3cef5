import { OptionsCheck } from '@nest-baton/core';
import type { HandlerDiscovery } from '../handling/handler-discovery.js';
import { MAX_CONCURRENCY } from '../handling/handoff-handler.decorator.js';
import type { NotificationOptions } from '../notifying/handoff-notification.js';
import { HandoffNotifications } from '../notifying/handoff-notifications.js';
import { NotificationsTakenError } from '../redis-reconcile.errors.js';
import type { ShutdownReport } from '../redis-reconcile.events.js';
import { HandoffEngine } from './handoff-engine.js';
import type { HandoffEngineOptions } from './handoff-engine-options.js';

export type ConsumingOptions = Omit<HandoffEngineOptions, 'worker' | 'concurrency' | 'onExpired' | 'onReadFailure'> & {
  readonly handlers: HandlerDiscovery;
};

/**
 * Whether and how this process takes work of the instance: by a handler, by one iterator at a time, or not at all.
 */
export class Consuming {
  private running: HandoffEngine | undefined;
  private iterator: HandoffNotifications | undefined;
  private isStopped = false;

  constructor(private readonly options: ConsumingOptions) {}

  /** `undefined`: this process only hands off. */
  get engine(): HandoffEngine | undefined {
    return this.running;
  }

  /** Runs the instance's handler, if there is one. @throws what stops the application from starting; nothing runs then. */
  async startHandler(): Promise<void> {
    const { handlers, name } = this.options;
    const handler = handlers.find(name);
    if (handler === undefined || this.isStopped) return;
    if (this.iterator !== undefined) throw this.taken('an iterator');
    this.running = new HandoffEngine({ ...this.options, ...handler });
    await this.start(this.running);
  }

  /** @throws OptionsInvalidError; NotificationsTakenError */
  notifications(options: NotificationOptions): HandoffNotifications {
    const check = new OptionsCheck<NotificationOptions>('notifications()', options, ['concurrency', 'maxReadFailures']);
    const concurrency = check.integer('concurrency', NaN, { min: 1, max: MAX_CONCURRENCY });
    const maxReadFailures = check.integer('maxReadFailures', Number.MAX_SAFE_INTEGER);
    check.finish();
    this.refuseSecond();
    const iterator: HandoffNotifications = new HandoffNotifications({
      open: () => {
        this.refuseSecond();
        this.iterator = iterator;
      },
      start: () => this.startIterator(iterator, concurrency, maxReadFailures),
      stop: () => this.stopIterator(iterator),
      onDropped: () => this.options.metrics.add('notifications.dropped', 1),
    });
    return iterator;
  }

  /** Takes no more work, ever. Returns when nothing runs. */
  async stop(): Promise<void> {
    this.isStopped = true;
    const { iterator } = this;
    await iterator?.settled();
    const stopping = this.stopEngine();
    iterator?.worker.close();
    await stopping;
    iterator?.terminate('shutdown');
  }

  private async startIterator(
    iterator: HandoffNotifications,
    concurrency: number,
    maxReadFailures: number,
  ): Promise<void> {
    try {
      if (this.options.handlers.find(this.options.name) !== undefined) throw this.taken('a handler');
      // What an application checks when it starts, which may be over or yet to come.
      await this.options.connection.open();
      if (this.isStopped) return iterator.terminate('shutdown');
      this.running = new HandoffEngine({
        ...this.options,
        worker: iterator.worker,
        concurrency,
        onExpired: (dataStream) => iterator.queue.push({ type: 'StreamExpired', dataStream }),
        onReadFailure: (error, failures) => {
          if (failures > maxReadFailures) void this.giveUp(iterator, error);
        },
      });
      await this.start(this.running);
    } catch (error) {
      this.forget(iterator);
      throw error;
    }
  }

  /** Not waited for by the reader that failed: its end is part of it. */
  private async giveUp(iterator: HandoffNotifications, error: unknown): Promise<void> {
    await iterator.settled();
    if (this.iterator !== iterator || this.isStopped) return;
    const stopping = this.stopEngine();
    iterator.worker.close();
    await stopping;
    iterator.terminate('read_failures', error);
    this.forget(iterator);
  }

  private async stopIterator(iterator: HandoffNotifications): Promise<void> {
    if (this.iterator !== iterator) return;
    await this.stopEngine();
    this.forget(iterator);
  }

  private async start(engine: HandoffEngine): Promise<void> {
    try {
      await engine.start();
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  private async stopEngine(): Promise<void> {
    if (this.running === undefined) return;
    const report = await this.running.stop();
    this.log(report);
  }

  private forget(iterator: HandoffNotifications): void {
    if (this.iterator !== iterator) return;
    this.iterator = this.running = undefined;
  }

  private refuseSecond(): void {
    if (this.iterator !== undefined) throw this.taken('an iterator that has not ended');
    if (this.options.handlers.find(this.options.name) !== undefined) throw this.taken('a handler');
  }

  private taken(by: string): NotificationsTakenError {
    return new NotificationsTakenError(
      `Instance '${this.options.name}' has ${by} in this process already: work is taken either by a class under @HandoffHandler or by one notifications() at a time.`,
    );
  }

  private log(report: ShutdownReport): void {
    const { length } = report.releasedWhileRunning;
    if (length + report.abandoned.length === 0) this.options.logger.log('stopped', report);
    else
      this.options.logger.warn(
        this.options.options.shutdown === 'ack-unfinished'
          ? 'stopped, and acknowledged what was unfinished (shutdown: ack-unfinished)'
          : 'stopped while handlers were running',
        report,
      );
  }
}
