import { PollLoop, type Runnable, type TimeoutRegistry } from '@nest-baton/core';
import type { ClaimedFanOut, FannedOut, FanOutStore } from './fan-out-store.js';

export interface FanOutHooks {
  /** Deliveries were made and can be claimed. */
  readonly onMade: () => void;
  readonly onFannedOut: (event: FannedOut) => void;
  /** Another process has the event: this one stalled past its lease. */
  readonly onLost: (outboxId: string) => void;
  readonly onFailed: (error: unknown) => void;
}

export interface FanOutSetup {
  readonly name: string;
  readonly store: FanOutStore;
  readonly leaseMs: number;
  readonly registry: TimeoutRegistry | undefined;
  readonly hooks: FanOutHooks;
}

/**
 * Makes the deliveries of events that more endpoints want than one `send` serves.
 *
 * - One event at a time in each process, the longest waiting first, in steps of one statement each: what a step made is there, and where it ended
 *   is written with it, whenever the process dies. Another goes on from there when the lease has ended.
 * - Each endpoint gets the event at most once.
 * - Runs when it is notified: by the producer in its process, and by the relay, which looks once a second whether any is due.
 */
export class FanOut implements Runnable {
  private readonly loop: PollLoop;
  private isStopped = false;

  constructor(private readonly setup: FanOutSetup) {
    this.loop = new PollLoop({
      name: `baton:webhook-outbox:${setup.name}:fan-out`,
      pass: (signal) => this.pass(signal),
      intervalMs: 0,
      registry: setup.registry,
      // After the end there may be no database any more, which is not worth a word.
      onError: (error) => this.isStopped || setup.hooks.onFailed(error),
    });
  }

  start(): void {
    this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  async runOnce(): Promise<void> {
    await this.loop.runOnce();
  }

  /** Hands back what is not complete. Returns when no statement runs. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.loop.stop();
  }

  private async pass(signal: AbortSignal): Promise<void> {
    const { store, leaseMs } = this.setup;
    while (!signal.aborted) {
      const claim = await store.claim(leaseMs);
      if (claim === undefined) return;
      await this.complete(claim, signal);
    }
  }

  private async complete(claim: ClaimedFanOut, signal: AbortSignal): Promise<void> {
    const { store, leaseMs, hooks } = this.setup;
    while (!signal.aborted) {
      const step = await store.step(claim, leaseMs);
      if (step === undefined) return hooks.onLost(claim.outboxId);
      if (step.made > 0) hooks.onMade();
      if (step.done !== undefined) return hooks.onFannedOut(step.done);
    }
    await store.release(claim);
  }
}
