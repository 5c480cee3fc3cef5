import { type Clock, PollLoop, type Runnable, systemClock, type TimeoutRegistry } from '@nest-baton/core';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { drainPump, type DrainReport } from './drain.js';
import { EndpointHealth } from '../endpoint-health/endpoint-health.js';
import type { HealthChange } from '../endpoint-health/endpoint-health-store.js';
import { Upkeep } from '../reclaiming/upkeep.js';
import { ALL_SLOTS, type ClaimedDelivery, type SlotsTaken } from '../claiming/claim-store.js';
import { type Held, HeldDeliveries } from './held-deliveries.js';
import { LeaseKeeper } from './lease-keeper.js';
import type { Settlement } from '../outcomes/outcome.js';
import type { RelayFacts } from '../operating/outbox-health.js';
import { TokenWake } from '../limiting/token-wake.js';
import { Pump } from './pump.js';
import type { RelayHooks, RelayParts, RelayStats } from './relay-parts.js';
import { Refilling } from '../waking/refilling.js';
import { Settler } from './settler.js';

/** Requests of one process at one time, over all endpoints: each may hold a payload and a socket. */
export const MAX_REQUESTS = 2_048;

/** Outcomes that may wait to be written before nothing more is claimed: an outage of the database must not fill the memory. */
const MAX_UNSETTLED = 1_000;

/** Endpoints that one pass probes. */
const PROBES = 100;

/**
 * Claims what is due and keeps the pump full.
 *
 * - One pass: take back expired leases (at most once a second), then claim until nothing is due or no slot is free. It is run by the poll,
 *   by the commit of a producer, and by each slot that frees while more was due.
 * - Several relays share the work without knowing of each other.
 * - `stop()` claims no more, hands back what was not started, lets requests end within `shutdownTimeout`, and writes their outcomes.
 */
export class Relay implements Runnable {
  private readonly held = new HeldDeliveries((claim) => this.hooks.onEnded(claim));
  private readonly settler: Settler;
  private readonly pump: Pump;
  private readonly keeper: LeaseKeeper;
  private readonly loop: PollLoop;
  private readonly health: EndpointHealth;
  private readonly upkeep: Upkeep;
  private readonly tokens = new TokenWake(() => this.loop.notify());
  /** Endpoints that have just asked to be left alone. */
  private readonly spared = new Set<string>();
  private isStarted = false;
  private isOver = false;
  private lookedAt = 0;
  private isMoreDue = false;
  private readonly refilling = new Refilling(() => this.loop.notify());
  private leasesLost = 0;
  /** When the first claim failed of those that have failed since one succeeded. */
  private claimFailedAt = Infinity;
  private stopping: Promise<DrainReport> | undefined;

  constructor(
    name: string,
    private readonly options: ResolvedWebhookOutboxOptions,
    private readonly parts: RelayParts,
    private readonly hooks: RelayHooks,
    registry: TimeoutRegistry | undefined,
    private readonly clock: Clock = systemClock,
  ) {
    const { store, directory, sender } = parts;
    const onLost = (held: Held): void => this.lose(held);
    this.settler = new Settler(store, this.held, clock, {
      onSettled: (held, settlement) => {
        if (parts.claims.isSlotAwaited === true) this.loop.notify();
        this.observe(held, settlement);
        hooks.onSettled(held, settlement);
      },
      onLate: (held, settlement) => {
        this.observe(held, settlement);
        hooks.onLate(held, settlement);
      },
      onLost,
      onError: (error, waiting) => this.isOver || hooks.onSettleFailed(error, waiting),
      onUnwritable: hooks.onUnwritable,
    });
    this.pump = new Pump(store, this.held, directory, sender, this.settler, options, clock, {
      onSlotFreed: () => this.isMoreDue && this.refilling.slotFreed(this.held.busy),
      onError: (what, error) => this.failed(what, error),
      onRequestEnded: hooks.onRequestEnded,
      onAnswer: (held, settlement) => this.spare(held, settlement),
      onEndpointOff: () => this.lookAside(),
      isSpared: (endpointId) => this.spared.has(endpointId),
    });
    this.keeper = new LeaseKeeper(store, this.held, options.leaseMs, clock, {
      onLost,
      onError: (error) => this.failed('renewing leases failed', error),
    });
    this.health = new EndpointHealth(parts.health, {
      onChanged: (change) => this.heed(change),
      onError: (error) => this.failed('writing the health of endpoints failed; it is tried again', error),
    });
    this.upkeep = new Upkeep(parts.reclaims, options.scheduleMs.length + 1, clock, hooks, () =>
      parts.claims.dueBounds?.(),
    );
    this.loop = new PollLoop({
      name: `baton:webhook-outbox:${name}:relay`,
      pass: (signal) => this.pass(signal),
      intervalMs: options.pollIntervalMs,
      registry,
      onError: hooks.onPollFailed,
    });
  }

  start(): void {
    if (this.stopping !== undefined || this.isStarted) return;
    this.isStarted = true;
    this.lookedAt = this.clock.monotonic();
    this.keeper.start();
    this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  /** An endpoint is off: puts its deliveries aside with the next pass, which begins now, and those that are handed back after it. */
  lookAside(): void {
    this.upkeep.lookAside(this.options.leaseMs);
    this.loop.notify();
  }

  /** One pass; what it claimed is then on its way. */
  async runOnce(): Promise<void> {
    await this.loop.runOnce();
  }

  async stop(): Promise<void> {
    await this.drain();
  }

  /** As `stop()`, telling what is left. Bounded by `shutdownTimeout` and a second, also when the database does not answer. */
  drain(): Promise<DrainReport> {
    this.refilling.stop();
    this.tokens.stop();
    this.stopping ??= drainPump(
      {
        loop: this.loop,
        pump: this.pump,
        settler: this.settler,
        keeper: this.keeper,
        held: this.held,
        health: this.health,
        sender: this.parts.sender,
      },
      this.options.shutdownTimeoutMs,
    ).finally(() => (this.isOver = true));
    return this.stopping;
  }

  stats(): RelayStats {
    return {
      inFlight: this.held.count('sending'),
      buffered: this.held.count('opening'),
      unsettled: this.settler.size,
      leasesLost: this.leasesLost,
    };
  }

  facts(): RelayFacts {
    const now = this.clock.monotonic();
    const failingSince = Math.min(this.settler.failingSince, this.claimFailedAt);
    return {
      isRunning: this.isStarted && this.stopping === undefined,
      sinceLookMs: now - this.lookedAt,
      writesFailingMs: failingSince === Infinity ? undefined : now - failingSince,
      unusableEndpoints: this.parts.directory.unusable().length,
    };
  }

  private async pass(signal: AbortSignal): Promise<void> {
    if (await this.upkeep.run(() => (this.lookedAt = this.clock.monotonic()))) this.loop.notify();
    if (this.upkeep.isSuspectWaiting && !this.held.holdsSuspect) await this.claimSuspect();
    if (this.upkeep.isProbeDue) await this.claimProbes();
    // A claim that failed is tried again whatever the look said, so that it is known whether claims succeed.
    if (!this.upkeep.mayBeDue && this.claimFailedAt === Infinity) return;
    while (!signal.aborted && (await this.claim()));
  }

  /** The report of the drain has told of what fails after it. */
  private failed(what: string, error: unknown): void {
    if (!this.isOver) this.hooks.onError(what, error);
  }

  private observe({ claim, attempts }: Held, settlement: Settlement): void {
    this.health.observe(claim.endpointId, claim.isTroubled, attempts, settlement);
  }

  /** Until the database knows that the endpoint wants to be left alone, this process does. */
  private spare({ claim: { endpointId } }: Held, { isGone, pauseMs }: Settlement): void {
    if (!isGone && pauseMs === 0) return;
    this.spared.add(endpointId);
    void this.pump.releaseOf(endpointId);
  }

  private heed(change: HealthChange): void {
    const { endpointId, hasOpened, disabledReason } = change;
    this.spared.delete(endpointId);
    if (disabledReason !== null) this.lookAside();
    if (hasOpened || disabledReason !== null) void this.pump.releaseOf(endpointId);
    this.hooks.onHealthChanged(change);
  }

  /**
   * One suspect at a time, so two of them never share a process: after its second loss an innocent delivery is no longer lost with the one
   * that crashes.
   */
  private async claimSuspect(): Promise<void> {
    const { leaseMs } = this.options;
    const leaseEndsAt = this.clock.monotonic() + leaseMs;
    const suspect = await this.parts.claims.claimSuspect(this.slots());
    if (suspect === undefined) this.upkeep.isSuspectWaiting = false;
    else await this.accept([suspect], leaseEndsAt);
  }

  private async claimProbes(): Promise<void> {
    const { leaseMs } = this.options;
    this.upkeep.isProbeDue = false;
    const limit = Math.min(PROBES, MAX_REQUESTS - this.held.busy);
    if (limit <= 0) return;
    const leaseEndsAt = this.clock.monotonic() + leaseMs;
    await this.accept(await this.parts.claims.claimProbes({ ...this.slots(), limit }), leaseEndsAt);
  }

  /** True when another claim may find more. */
  private async claim(): Promise<boolean> {
    const { batchSize, leaseMs } = this.options;
    const limit = Math.min(batchSize, MAX_REQUESTS - this.held.busy);
    this.isMoreDue = true;
    if (limit <= 0 || this.settler.size >= MAX_UNSETTLED) return false;
    const slots = this.slots();
    this.refilling.claiming();
    const leaseEndsAt = this.clock.monotonic() + leaseMs;
    const claims = await this.parts.claims.claim({ ...slots, limit }).catch((error: unknown) => {
      this.claimFailedAt = Math.min(this.claimFailedAt, this.clock.monotonic());
      throw error;
    });
    this.claimFailedAt = Infinity;
    this.lookedAt = this.clock.monotonic();
    this.tokens.in(this.parts.claims.tokenInMs);
    const isMore = claims.length >= limit;
    const accepted = claims.length > 0 ? this.accept(claims, leaseEndsAt) : undefined;
    // A full endpoint was not looked at, and one that was filled may have more: the next free slot looks again.
    this.isMoreDue = isMore || this.held.isAnyFull(slots) || this.held.isAnyFull(this.slots());
    await accepted;
    return isMore;
  }

  private async accept(claims: readonly ClaimedDelivery[], leaseEndsAt: number): Promise<void> {
    this.hooks.onClaimed(claims);
    await this.pump.accept(claims, leaseEndsAt);
  }

  private slots(): SlotsTaken {
    const { leaseMs, maxInFlight } = this.options;
    const held = this.held.slots();
    for (const id of [...this.parts.directory.unusable(), ...this.spared]) held.set(id, ALL_SLOTS);
    return { leaseMs, maxInFlight, held };
  }

  private lose(held: Held): void {
    if (!this.held.remove(held)) return;
    this.leasesLost++;
    this.hooks.onLost(held);
  }
}
