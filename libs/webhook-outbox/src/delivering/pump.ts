import { type Clock, systemRandom } from '@nest-baton/core';
import { type EndpointDirectory, liveSecrets, type OpenEndpoint } from '../endpoints/endpoint-directory.js';
import type { HttpSender } from '../sending/http-sender.js';
import type { ClaimedDelivery } from '../claiming/claim-store.js';
import type { DeliveryStore } from './delivery-store.js';
import type { Held, HeldDeliveries } from './held-deliveries.js';
import { type OutcomeRules, type Settlement, settlementOf } from '../outcomes/outcome.js';
import type { RequestOutcome } from '../webhook-outbox.metrics.js';
import type { Settler } from './settler.js';

export interface PumpOptions extends OutcomeRules {
  readonly leaseMs: number;
  readonly requestTimeoutMs: number;
}

export interface PumpHooks {
  /** A request is over, so its endpoint has a free slot. */
  readonly onSlotFreed: () => void;
  readonly onError: (what: string, error: unknown) => void;
  readonly onRequestEnded: (outcome: RequestOutcome, startedAtMs: number) => void;
  /** Before it is written, so that what the endpoint asks for holds at once. */
  readonly onAnswer: (held: Held, settlement: Settlement) => void;
  /** An endpoint was found off whose deliveries were claimed. */
  readonly onEndpointOff: () => void;
  /** It has asked to be left alone while the claim was on its way. */
  readonly isSpared: (endpointId: string) => boolean;
}

/**
 * What a claim says of an endpoint is as old as its statement: when that took longer, for a lock or a busy server, the endpoint is looked at again. It
 * may have been changed or disabled meanwhile, or its secret revoked.
 */
const STALE_CLAIM_MS = 5;

/** With the way of its answer to here, which the answer to a second look would have to go as well. */
const STALE_ANSWER_MS = 25;

/**
 * Sends what the relay claimed, at once.
 *
 * - The claim has counted each request. What is not sent after all is handed back, uncounted.
 * - Nothing is sent that could outlive its lease: after a stall of the process it is handed back instead.
 */
export class Pump {
  private readonly requests = new Set<Promise<void>>();
  private readonly abort = new AbortController();
  private isStopped = false;
  private handedBack = 0;

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

  /** Takes over claims. Those that cannot be sent now are handed back. @param leaseEndsAt counted from before the claim's statement. */
  async accept(claims: readonly ClaimedDelivery[], leaseEndsAt: number): Promise<void> {
    const all = claims.map((claim) => this.held.add(claim, leaseEndsAt));
    try {
      const open = await (this.isStale(claims, leaseEndsAt)
        ? this.directory.openFresh(claims)
        : this.directory.open(claims));
      for (const held of all) held.endpoint = open.get(held.claim.endpointId);
      if (all.some(({ endpoint }) => endpoint === undefined)) this.hooks.onEndpointOff();
    } catch (error) {
      await this.release(all);
      throw error;
    }
    const isInTime = this.clock.monotonic() + this.options.requestTimeoutMs < leaseEndsAt;
    const left: Held[] = [];
    for (const held of all) {
      if (!this.held.has(held)) continue;
      const { endpoint, claim } = held;
      const isWanted = isInTime && !this.isStopped && !this.hooks.isSpared(claim.endpointId);
      if (isWanted && endpoint !== undefined) this.launch(held, endpoint);
      else left.push(held);
    }
    if (this.isStopped) this.handedBack += await this.release(left);
    else await this.release(left);
  }

  /** From now on nothing is started. */
  halt(): void {
    this.isStopped = true;
  }

  /** Hands back, at once, what waits for its endpoint to be read. After `halt()`. */
  async releaseBuffered(): Promise<void> {
    this.handedBack += await this.release(this.held.in('opening'));
  }

  /** How many claims were handed back since `halt()`. */
  get releasedSinceHalt(): number {
    return this.handedBack;
  }

  /** Hands back what was not started of an endpoint that is not to be sent to now. */
  async releaseOf(endpointId: string): Promise<void> {
    await this.release(this.held.in('opening').filter(({ claim }) => claim.endpointId === endpointId));
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

  private isStale(claims: readonly ClaimedDelivery[], leaseEndsAt: number): boolean {
    const claimedMs = this.clock.monotonic() - (leaseEndsAt - this.options.leaseMs);
    return claimedMs > STALE_ANSWER_MS || claims.some(({ lookedMs }) => lookedMs > STALE_CLAIM_MS);
  }

  private launch(held: Held, endpoint: OpenEndpoint): void {
    this.held.move(held, 'sending');
    const request = this.send(held, endpoint).catch((error: unknown) => this.hooks.onError('a delivery failed', error));
    const tracked = request.finally(() => {
      this.requests.delete(tracked);
      this.hooks.onSlotFreed();
    });
    this.requests.add(tracked);
  }

  private async send(held: Held, endpoint: OpenEndpoint): Promise<void> {
    const { claim } = held;
    const { body, trace } = claim;
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
    const startedAtMs = this.clock.monotonic();
    const answer = await this.sender.send(
      {
        url,
        headers,
        secrets,
        legacy,
        type: claim.type,
        webhookId: held.webhookId,
        body,
        attempt: held.attempts,
        trace,
      },
      this.abort.signal,
    );
    claim.body = null;
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
