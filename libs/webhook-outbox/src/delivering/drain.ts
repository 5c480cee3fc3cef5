import type { PollLoop } from '@nest-baton/core';
import type { HttpSender } from '../sending/http-sender.js';
import type { EndpointHealth } from '../endpoint-health/endpoint-health.js';
import type { HeldDeliveries } from './held-deliveries.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { Pump } from './pump.js';
import type { Settler } from './settler.js';

/** What became of the claims that a relay held when it stopped. */
export interface DrainReport {
  /** Handed back before they were started, no count changed. */
  readonly released: number;
  /** Requests cut by the end of `shutdownTimeout`, handed back: the receiver may have seen them. */
  readonly cut: number;
  /** Outcomes that could not be written: their leases expire, and they are sent again with the same id. */
  readonly unsettled: number;
}

interface Draining {
  readonly loop: PollLoop;
  readonly pump: Pump;
  readonly settler: Settler;
  readonly keeper: LeaseKeeper;
  readonly held: HeldDeliveries;
  readonly health: EndpointHealth;
  readonly sender: HttpSender;
}

/** The share of `shutdownTimeout` that is kept for writing outcomes. */
const SETTLE_SHARE = 0.2;

/** For what has nothing left to wait for but a statement that may never be answered. */
const CLOSE_TIMEOUT_MS = 1_000;

/** Stops in the order that loses least: claims, starts, requests, outcomes, renewals. Every step is bounded in time. */
export async function drainPump(parts: Draining, timeoutMs: number): Promise<DrainReport> {
  const { loop, pump, settler, keeper, held, health, sender } = parts;
  const settleMs = timeoutMs * SETTLE_SHARE;
  let released = 0;
  const finish = async (): Promise<void> => {
    pump.halt();
    // A pass that runs may still claim, so what it brings is handed back after it has ended.
    await loop.stop();
    released = await pump.releaseBuffered();
    await pump.idle();
  };
  await within(timeoutMs - settleMs, finish());
  const cut = held.count('sending');
  const write = async (): Promise<void> => {
    await pump.cut();
    await settler.idle();
    await health.idle();
  };
  await within(settleMs, write());
  await within(CLOSE_TIMEOUT_MS, Promise.all([settler.abandon(), health.stop(), keeper.stop(), sender.stop()]));
  return { released, cut, unsettled: settler.size };
}

/** Resolves when the work has ended, or after so long, while it goes on. */
export async function within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, over]);
  clearTimeout(timer);
}
