import { type Clock, systemRandom } from '@nest-baton/core';
import { type EndpointDirectory, liveSecrets } from '../endpoints/endpoint-directory.js';
import type { HttpSender } from '../sending/http-sender.js';
import { webhookIdOf } from '../sending/signature.js';
import type { ClaimedDelivery } from '../claiming/claim-store.js';
import type { DeliveryStore, StartedDelivery } from './delivery-store.js';
import type { Held, HeldDeliveries } from './held-deliveries.js';
import { type OutcomeRules, type Settlement, settlementOf } from '../outcomes/outcome.js';
import type { RequestOutcome } from '../webhook-outbox.metrics.js';
import type { Settler } from './settler.js';

export interface PumpOptions extends OutcomeRules {
  readonly leaseMs: number;
  readonly requestTimeoutMs: number;
  readonly batchSize: number;
}

export interface PumpHooks {
  /** A request is over, so its endpoint has a free slot. */
  readonly onSlotFreed: () => void;
  readonly onLost: (held: Held) => void;
  readonly onError: (what: string, error: unknown) => void;
  readonly onRequestEnded: (outcome: RequestOutcome, startedAtMs: number) => void;
  /** Before it is written, so that what the endpoint asks for holds at once. */
  readonly onAnswer: (held: Held, settlement: Settlement) => void;
  /** An endpoint was found off whose deliveries were claimed. */
  readonly onEndpointOff: () => void;
}

/** Outcomes that may wait to be written before no more requests are started: an outage of the database must not fill the memory. */
const MAX_UNSETTLED = 1_000;

const RETRY_START_MS = 250;

/**
 * Starts and sends what the relay claimed; not in batches: each slot that frees is used again at once.
 *
 * - A request is counted in the database before it is sent, many with one statement.
 * - Nothing is sent that could outlive its lease: after a stall of the process it is handed back instead, uncounted.
 */
export class Pump {
  private readonly requests = new Set<Promise<void>>();
  private readonly abort = new AbortController();
  private starting: Promise<void> | undefined;
  private retry: NodeJS.Timeout | undefined;
  private isStopped = false;
  private failedAt = Infinity;

  constructor(
    private readonly store: DeliveryStore,
    private readonly held: HeldDeliveries,
    private readonly directory: EndpointDirectory,
    private readonly sender: HttpSender,
    private readonly settler: Settler,
    private readonly options: PumpOptions,
    private readonly clock: Clock,
    private readonly hooks: PumpHooks,
  ) {}

  /** When the first start failed of those that have failed since one succeeded; Infinity when none waits to be tried again. */
  get failingSince(): number {
    return this.held.count('buffered') + this.held.count('starting') > 0 ? this.failedAt : Infinity;
  }

  /** Takes over claims. Those whose endpoint cannot be sent to are handed back, uncounted. */
  async accept(claims: readonly ClaimedDelivery[], leaseEndsAt: number): Promise<void> {
    const all = claims.map((claim) => this.held.add(claim, leaseEndsAt));
    try {
      const open = await this.directory.open(claims);
      for (const held of all) {
        held.endpoint = open.get(held.claim.endpointId);
        if (held.endpoint !== undefined) held.state = 'buffered';
      }
      const off = all.filter(({ endpoint }) => endpoint === undefined);
      if (off.length > 0) this.hooks.onEndpointOff();
      await this.release(off);
    } catch (error) {
      await this.release(all);
      throw error;
    }
    this.startSoon();
  }

  /** From now on nothing is started. */
  halt(): void {
    this.isStopped = true;
    clearTimeout(this.retry);
  }

  /** Hands back what was accepted and not started; returns how many. After `halt()`. */
  async releaseBuffered(): Promise<number> {
    await this.starting;
    return this.release(this.held.in('buffered'));
  }

  /** Hands back what was not started of an endpoint that is not to be sent to now. */
  async releaseOf(endpointId: string): Promise<void> {
    await this.release(this.held.in('buffered').filter(({ claim }) => claim.endpointId === endpointId));
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    while (this.requests.size > 0) await Promise.all(this.requests);
  }

  /** Cuts the requests that run; they are handed back as started, outcome unknown. */
  async cut(): Promise<void> {
    this.abort.abort();
    await this.idle();
  }

  /** Starts what waits, where room has come: after a claim, a request's end, or a written outcome. */
  startSoon(): void {
    if (this.isStopped || this.starting !== undefined) return;
    this.starting = this.startAll().finally(() => (this.starting = undefined));
  }

  private async startAll(): Promise<void> {
    while (!this.isStopped && this.held.count('settling') < MAX_UNSETTLED) {
      const batch = this.held.in('buffered', this.options.batchSize);
      if (batch.length === 0) return;
      for (const held of batch) held.state = 'starting';
      const leaseEndsAt = this.clock.monotonic() + this.options.leaseMs;
      try {
        const started = await this.store.start(
          batch.map(({ claim }) => claim),
          this.options.leaseMs,
        );
        this.failedAt = Infinity;
        const byId = new Map(started.map((one) => [one.id, one]));
        await this.followChanges(batch, byId);
        for (const held of batch) this.launch(held, byId.get(held.claim.id), leaseEndsAt);
      } catch (error) {
        this.failedAt = Math.min(this.failedAt, this.clock.monotonic());
        this.hooks.onError('counting attempts failed; nothing was sent', error);
        for (const held of batch) if (held.state === 'starting') held.state = 'buffered';
        this.retry = setTimeout(() => this.startSoon(), RETRY_START_MS);
        return;
      }
    }
  }

  /** An endpoint that was changed since the claim is sent to as it is now; one that is not active any more gets nothing. */
  private async followChanges(batch: readonly Held[], started: ReadonlyMap<string, StartedDelivery>): Promise<void> {
    const changed: { held: Held; endpointId: string; endpointVersion: number }[] = [];
    for (const held of batch) {
      const version = started.get(held.claim.id)?.endpointVersion;
      if (version === undefined || version === held.claim.endpointVersion) continue;
      held.endpoint = undefined;
      if (version === null) this.hooks.onEndpointOff();
      else changed.push({ held, endpointId: held.claim.endpointId, endpointVersion: version });
    }
    if (changed.length === 0) return;
    const open = await this.directory.open(changed);
    for (const { held, endpointId } of changed) held.endpoint = open.get(endpointId);
  }

  private launch(held: Held, started: StartedDelivery | undefined, leaseEndsAt: number): void {
    if (!this.held.has(held)) return;
    if (started === undefined) return this.hooks.onLost(held);
    held.leaseEndsAt = leaseEndsAt;
    held.startedAt = started.startedAt;
    held.state = 'sending';
    const request = this.send(held, started).catch((error: unknown) => this.hooks.onError('a delivery failed', error));
    const tracked = request.finally(() => {
      this.requests.delete(tracked);
      this.startSoon();
      this.hooks.onSlotFreed();
    });
    this.requests.add(tracked);
  }

  private async send(held: Held, { body, trace }: StartedDelivery): Promise<void> {
    const { claim, endpoint } = held;
    const isInTime = this.clock.monotonic() + this.options.requestTimeoutMs < held.leaseEndsAt;
    if (!isInTime || this.isStopped || endpoint === undefined) {
      await this.release([held]);
      return;
    }
    held.attempts = claim.attempts + 1;
    if (body === null) {
      const error = 'the event was deleted before it was sent';
      const missing = {
        reason: 'event-missing',
        status: null,
        error,
        retryInMs: 0,
        pauseMs: 0,
        isGone: false,
      } as const;
      this.settler.add(held, { state: 'failed', outcome: 'failed', ...missing }, 0);
      return;
    }
    const { url, headers, legacy } = endpoint;
    const secrets = liveSecrets(endpoint, this.clock.monotonic());
    const webhookId = webhookIdOf(claim.outboxId, claim.endpointId);
    const startedAtMs = this.clock.monotonic();
    const answer = await this.sender.send(
      { url, headers, secrets, legacy, type: claim.type, webhookId, body, attempt: held.attempts, trace },
      this.abort.signal,
    );
    if (answer.kind === 'cut') {
      this.hooks.onRequestEnded('cut', startedAtMs);
      if (this.held.has(held)) await this.release([held]);
      return;
    }
    const { retryAfterCapMs } = this.options;
    const rules = { scheduleMs: endpoint.scheduleMs ?? this.options.scheduleMs, retryAfterCapMs };
    const settlement = settlementOf(answer, held.attempts, rules, this.clock.now(), systemRandom);
    this.hooks.onRequestEnded(settlement.outcome, startedAtMs);
    this.hooks.onAnswer(held, settlement);
    // Also when its lease is lost by now: the history is nobody's property.
    this.settler.add(held, settlement, this.clock.monotonic() - startedAtMs);
  }

  /** When it cannot be written the leases expire, which costs time and counts a loss. */
  private async release(all: readonly Held[]): Promise<number> {
    if (all.length === 0) return 0;
    for (const held of all) this.held.remove(held);
    try {
      return await this.store.release(all.map(({ claim: { id, fence }, attempts }) => ({ id, fence, attempts })));
    } catch (error) {
      this.hooks.onError('handing back claims failed; their leases expire', error);
      return 0;
    }
  }
}
