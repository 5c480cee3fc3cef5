import type { PollLoop } from '@nest-baton/core';
import type { HttpSender } from '../sending/http-sender.js';
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
  readonly sender: HttpSender;
}

/** The share of `shutdownTimeout` that is kept for writing outcomes. */
const SETTLE_SHARE = 0.2;

/** Stops in the order that loses least: claims, starts, requests, outcomes, renewals. */
export async function drainPump(parts: Draining, timeoutMs: number): Promise<DrainReport> {
  const { loop, pump, settler, keeper, held, sender } = parts;
  await loop.stop();
  const released = await pump.stopStarting();
  await within(timeoutMs * (1 - SETTLE_SHARE), pump.idle());
  const cut = held.count('sending');
  await pump.cut();
  await within(timeoutMs * SETTLE_SHARE, settler.idle());
  await settler.abandon();
  await keeper.stop();
  await sender.stop();
  return { released, cut, unsettled: held.count('settling') };
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, over]);
  clearTimeout(timer);
}
