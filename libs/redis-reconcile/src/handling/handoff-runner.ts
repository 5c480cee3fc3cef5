import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  backoffDelay,
  describeError,
  errorCode,
  type Random,
  secondsSince,
  ShuttingDownError,
  systemClock,
  type TypedEvents,
} from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { RedisReconcileEvents, ShutdownReport } from '../redis-reconcile.events.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { HandoffSpans } from '../operating/handoff-spans.js';
import type { Capacity } from '../reading/capacity.js';
import type { HandoffWorker } from './handoff-handler.decorator.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { OwnedHandoff } from './owned-handoff.js';
import { describe, isNack, type Settlement } from './settlement.js';

const RETRY = { baseMs: 100, factor: 2, capMs: 5000, jitter: 'equal' } as const;

export interface HandoffRunnerOptions {
  readonly worker: HandoffWorker;
  readonly keeper: LeaseKeeper;
  readonly settlement: Settlement;
  readonly capacity: Capacity;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly logger: Logger;
  readonly metrics: RedisReconcileMetrics;
  readonly spans: HandoffSpans;
  readonly random: Random;
}

/** The hand-off whose handler is running here. */
export const currentHandoff = new AsyncLocalStorage<OwnedHandoff>();

/**
 * Runs the handler and says the last word for it.
 *
 * - Resolved: done. Threw: refused, with a back-off. Threw after its lease lapsed or after shutdown asked for the work: handed back, uncounted.
 * - A slot is free again only when the handler has settled and the last word is known; a last word that Redis does not take is repeated.
 * - Nothing that a handler does ends up as an unhandled rejection.
 */
export class HandoffRunner {
  private readonly running = new Map<OwnedHandoff, Promise<void>>();
  private readonly giveUp = new AbortController();
  private isEnding = false;
  private finished = 0;
  private released = 0;
  private readonly abandoned: string[] = [];
  private acksUnfinished = false;

  constructor(private readonly options: HandoffRunnerOptions) {}

  /** Owns one slot of the capacity. */
  run(handoff: OwnedHandoff): void {
    this.options.events.emit('acquired', describe(handoff));
    const end = this.handle(handoff);
    this.running.set(handoff, end);
  }

  /** From now on it is counted what becomes of the work. */
  beginEnd(): void {
    this.isEnding = true;
  }

  /**
   * Ends all that runs: `release` and `ack-unfinished` abort it now, `drain` only when the time is over. What has not settled by then is handed
   * back while it runs, or acknowledged.
   * New hand-offs must not come any more.
   */
  async finish(mode: 'release' | 'drain' | 'ack-unfinished', timeoutMs: number): Promise<ShutdownReport> {
    this.acksUnfinished = mode === 'ack-unfinished';
    if (mode !== 'drain') this.abortAll();
    await this.settledWithin(timeoutMs);
    if (mode === 'drain') this.abortAll();
    this.giveUp.abort();
    const releasedWhileRunning: string[] = [];
    await Promise.all(
      [...this.running.keys()].map(async (handoff) => {
        if (handoff.state === 'settled' || handoff.state === 'lost') return;
        const isBack = !this.acksUnfinished && (await this.handBackNow(handoff));
        if (isBack) releasedWhileRunning.push(handoff.dataStream);
        else await this.abandonNow(handoff);
      }),
    );
    return { finished: this.finished, released: this.released, releasedWhileRunning, abandoned: this.abandoned };
  }

  /** A lapsed lease whose handler does not settle: the work goes back all the same. */
  handBackLapsed(handoff: OwnedHandoff): void {
    void this.options.settlement.handBack(handoff, 'the lease lapsed', true).catch(() => undefined);
  }

  private async handle(handoff: OwnedHandoff): Promise<void> {
    try {
      await this.work(handoff);
    } catch (error) {
      this.options.logger.error('a hand-off ended unexpectedly', { ...describe(handoff), error: describeError(error) });
    } finally {
      this.options.keeper.remove(handoff);
      this.running.delete(handoff);
      this.options.capacity.release();
    }
  }

  private async work(handoff: OwnedHandoff): Promise<void> {
    const { worker, settlement, metrics, spans } = this.options;
    const startedAt = systemClock.monotonic();
    let failure: { readonly thrown: unknown } | undefined;
    try {
      await spans.handling(handoff.attempt, handoff.trace, () =>
        currentHandoff.run(handoff, () => worker.handle(handoff)),
      );
    } catch (thrown) {
      failure = { thrown };
    }
    metrics.record('handler.duration', secondsSince(startedAt), failure === undefined ? 'resolved' : 'threw');
    handoff.checkDeadline();
    if (failure === undefined) {
      if (await this.lastWord(handoff, () => settlement.done(handoff), true)) this.count('finished');
      return;
    }
    const { thrown } = failure;
    if (handoff.state === 'settled' && handoff.lastWord === 'handBack' && !this.giveUp.signal.aborted)
      this.count('released');
    if (handoff.state === 'lost' || handoff.state === 'settled') return;
    if (handoff.state === 'lapsed') {
      await this.lastWord(handoff, () => settlement.handBack(handoff, 'the lease lapsed', false), false);
      return;
    }
    if (handoff.isWantedBack && this.acksUnfinished && !handoff.isUntouched && !isNack(thrown)) {
      if (await this.lastWord(handoff, () => settlement.abandon(handoff), false))
        this.abandoned.push(handoff.dataStream);
      return;
    }
    if (handoff.isWantedBack && !isNack(thrown)) {
      if (await this.lastWord(handoff, () => settlement.handBack(handoff, 'shutdown', false), false))
        this.count('released');
      return;
    }
    this.options.logger.warn('a handler refused a hand-off', { ...describe(handoff), error: describeError(thrown) });
    await this.lastWord(handoff, () => settlement.refuse(handoff, thrown), false);
  }

  /** Repeats until the server has answered, or shutdown gives up. True: our word counts. */
  private async lastWord(handoff: OwnedHandoff, say: () => Promise<void>, wasDone: boolean): Promise<boolean> {
    for (let failures = 1; ; failures++) {
      try {
        await say();
        return true;
      } catch (error) {
        if (errorCode(error) === 'LEASE_LOST') {
          this.refused(handoff, wasDone);
          return false;
        }
        this.options.logger.warn('the last word on a hand-off failed', {
          ...describe(handoff),
          error: describeError(error),
        });
        if (this.giveUp.signal.aborted) return false;
        const delay = backoffDelay(failures, RETRY, this.options.random);
        await sleep(delay, undefined, { signal: this.giveUp.signal }).catch(() => undefined);
        if (this.giveUp.signal.aborted) return false;
      }
    }
  }

  private refused(handoff: OwnedHandoff, wasDone: boolean): void {
    if (!wasDone) return;
    this.options.logger.warn('a finished hand-off has another owner by now (LEASE_LOST)', describe(handoff));
    this.options.events.emit('doneRefused', describe(handoff));
  }

  private count(what: 'finished' | 'released'): void {
    if (this.isEnding) this[what]++;
  }

  private abortAll(): void {
    for (const handoff of this.running.keys())
      handoff.abortFor(new ShuttingDownError('The process is shutting down: hand the work back.'));
  }

  private async settledWithin(timeoutMs: number): Promise<void> {
    const timeout = new AbortController();
    await Promise.race([
      Promise.all(this.running.values()),
      sleep(timeoutMs, undefined, { signal: timeout.signal }).catch(() => undefined),
    ]);
    timeout.abort();
  }

  /** Acknowledges it where that was asked for; what Redis does not take is left to its lease. */
  private async abandonNow(handoff: OwnedHandoff): Promise<void> {
    if (this.acksUnfinished) await this.options.settlement.abandon(handoff).catch(() => undefined);
    this.abandoned.push(handoff.dataStream);
  }

  private async handBackNow(handoff: OwnedHandoff): Promise<boolean> {
    try {
      await this.options.settlement.handBack(handoff, 'shutdown', true);
      return true;
    } catch (error) {
      return errorCode(error) === 'LEASE_LOST';
    }
  }
}
