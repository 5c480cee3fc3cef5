import { OptionsCheck } from '@nest-baton/core';
import { Inject, Injectable } from '@nestjs/common';
import type { DeliveryState } from '../delivering/delivery.js';
import { DeliveryReporter } from '../operating/delivery-reporter.js';
import type { DeliveryAttempt } from '../schema/entities.js';
import { OutboxDatabase } from '../schema/outbox-database.js';
import { DueSignal } from '../waking/due-signal.js';
import { DeliveryNotFoundError, DeliveryStateError, EndpointNotActiveError } from '../webhook-outbox.errors.js';
import { OUTBOX_OPTIONS } from '../webhook-outbox.module-definition.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import {
  checkFilter,
  checkNarrowFilter,
  checkPage,
  checkScope,
  cursorAt,
  type DeliveryFilter,
  isBigintText,
} from './delivery-filter.js';
import { DeliveryRecords } from './delivery-records.js';
import { type Moved, type MovedPage, ReplayStore, type Walk, WALK_FROM_START } from './replay-store.js';
import {
  ABANDONABLE,
  type DeliveryPage,
  IN_THE_WAY,
  type PageOptions,
  REPLAYABLE,
  type StoredDelivery,
  type TenantScope,
} from './stored-delivery.js';

export interface ReplayManyRequest {
  /**
   * At least one condition. Without `state`: whatever is over and was not delivered; `delivered` has to be asked for. One that is `queued`, `ready`
   * or `leased` is never in it.
   */
  readonly filter: DeliveryFilter;
  /** Deliveries a second that become due, so that receivers and live traffic are not flooded. 0.01 to 10 000. Default 100. */
  readonly rate?: number;
  /** Counts and moves nothing. Default false. */
  readonly dryRun?: boolean;
  /** Ends the call after the statement that runs; what was replayed until then stays so. */
  readonly signal?: AbortSignal;
}

export interface ReplaySummary {
  /** With `dryRun`: that would be. */
  readonly replayed: number;
  /** Of endpoints that are not active, or that somebody else moved meanwhile. */
  readonly skipped: number;
  /** When the last of them is due; `null` without any. */
  readonly lastDueAt: Date | null;
  /** False: `signal` ended it before all were looked at. */
  readonly isComplete: boolean;
}

const RATE = 100;
const REPLAYED_BY_DEFAULT = REPLAYABLE.filter((state) => state !== 'delivered');

/**
 * Deliveries, for operators.
 *
 * - With `tenant`, here or in a filter, what is of another tenant is as if it did not exist.
 * - Nothing here touches a delivery that somebody is sending.
 */
@Injectable()
export class WebhookDeliveriesService {
  private readonly records: DeliveryRecords;
  private readonly replays: ReplayStore;

  constructor(
    @Inject(OUTBOX_OPTIONS) { dispatch }: ResolvedWebhookOutboxOptions,
    @Inject(OutboxDatabase) private readonly database: OutboxDatabase,
    @Inject(DeliveryReporter) private readonly reporter: DeliveryReporter,
    @Inject(DueSignal) private readonly due: DueSignal,
  ) {
    this.records = new DeliveryRecords(database, database.schema);
    this.replays = new ReplayStore(database, database.schema, dispatch === 'queue');
  }

  /**
   * Newest first, in pages. Quick with `outboxId`, and with `endpointId` or `tenant` and a `state` that was given up on; else it walks the table.
   *
   * @throws OptionsInvalidError
   */
  async list(filter?: DeliveryFilter, page?: PageOptions): Promise<DeliveryPage> {
    const checked = checkFilter(filter);
    const { limit, before } = checkPage(page);
    await this.database.prepare();
    const found = await this.records.list(checked, { limit, before });
    const deliveries = found.slice(0, limit);
    const last = deliveries.at(-1);
    return { deliveries, nextCursor: found.length > limit && last !== undefined ? cursorAt(last.id) : null };
  }

  /** @throws DeliveryNotFoundError | OptionsInvalidError */
  async get(id: string, scope?: TenantScope): Promise<StoredDelivery> {
    const { tenant } = checkScope(scope);
    await this.database.prepare();
    return (isBigintText(id) ? await this.records.find(id, tenant) : undefined) ?? unknownDelivery(id);
  }

  /** The requests that were made, oldest first; the newest 1 000 of them. @throws DeliveryNotFoundError | OptionsInvalidError */
  async attempts(id: string, scope?: TenantScope): Promise<readonly DeliveryAttempt[]> {
    await this.get(id, scope);
    return this.records.attempts(id);
  }

  /**
   * Sends a delivery again that is over or parked, now, with all attempts of the schedule. `webhook-id` is as before, and the history is kept. Where it has a
   * place in an order, it is sent before those that wait there, when what is being sent has ended.
   *
   * @throws DeliveryNotFoundError | EndpointNotActiveError | OptionsInvalidError
   * @throws DeliveryStateError when it is `queued` or `ready`, or `leased`, in which case it is retryable.
   */
  async replay(id: string, scope?: TenantScope): Promise<StoredDelivery> {
    const { tenant } = checkScope(scope);
    await this.database.prepare();
    const found = isBigintText(id) ? await this.replays.replay(id, tenant) : undefined;
    if (found?.moved === undefined && found?.isEndpointActive === false && isIn(REPLAYABLE, found.found))
      throw new EndpointNotActiveError(`The endpoint of delivery ${id} is not active; enable it, then replay.`);
    const replayed = movedOf(id, 'replayed', found);
    this.replayed(1);
    return replayed;
  }

  /**
   * Replays whatever the filter matches when it is called, oldest first, in batches, spread over time by `rate`. Resolves when all of it has its
   * time, not when it was sent.
   *
   * @throws OptionsInvalidError
   */
  async replayMany(request: ReplayManyRequest): Promise<ReplaySummary> {
    const { filter, rate, dryRun, signal } = checkRequest(request);
    const checked = checkNarrowFilter(filter, filter?.state === undefined ? REPLAYED_BY_DEFAULT : REPLAYABLE);
    await this.database.prepare();
    if (dryRun) {
      const { active, inactive } = await this.replays.count(checked);
      return { replayed: active, skipped: inactive, lastDueAt: null, isComplete: true };
    }
    return this.walk(signal, async (walk, done) => {
      const page = await this.replays.replayPage(checked, walk, done, rate);
      this.replayed(page.moved);
      return page;
    });
  }

  /**
   * Gives up what is not over and in nobody's hands: one delivery, or whatever a filter (of at least one condition) matches when it is called.
   * Returns how many. Of an endpoint with an order also one that has failed, is dead or has expired, which a filter has to ask for by `state`: those that
   * wait for it are sent then.
   *
   * @throws DeliveryNotFoundError | DeliveryStateError when one is asked for that is `leased`, in which case it is retryable, or over.
   * @throws OptionsInvalidError
   */
  async abandon(which: string | DeliveryFilter, scope?: TenantScope): Promise<number> {
    if (typeof which === 'string') return this.abandonOne(which, scope);
    const filter = scope === undefined ? which : { ...which, ...checkScope(scope) };
    const checked = checkNarrowFilter(
      filter,
      filter?.state === undefined ? ABANDONABLE : [...ABANDONABLE, ...IN_THE_WAY],
    );
    await this.database.prepare();
    const { replayed: count } = await this.walk(undefined, (walk) => this.replays.abandonPage(checked, walk));
    this.abandoned(count);
    return count;
  }

  private async abandonOne(id: string, scope: TenantScope | undefined): Promise<number> {
    const { tenant } = checkScope(scope);
    await this.database.prepare();
    movedOf(id, 'abandoned', isBigintText(id) ? await this.replays.abandon(id, tenant) : undefined);
    this.abandoned(1);
    return 1;
  }

  private async walk(
    signal: AbortSignal | undefined,
    step: (walk: Walk, done: number) => Promise<MovedPage>,
  ): Promise<ReplaySummary> {
    let [replayed, skipped] = [0, 0];
    let lastDueAt: Date | null = null;
    for (let walk: Walk | undefined = WALK_FROM_START; walk !== undefined;) {
      if (signal?.aborted === true) return { replayed, skipped, lastDueAt, isComplete: false };
      const page: MovedPage = await step(walk, replayed);
      replayed += page.moved;
      skipped += page.skipped;
      lastDueAt = page.lastDueAt ?? lastDueAt;
      walk = page.next;
    }
    return { replayed, skipped, lastDueAt, isComplete: true };
  }

  private replayed(count: number): void {
    if (count === 0) return;
    this.reporter.metrics.add('deliveries.replayed', count);
    this.due.tell();
  }

  private abandoned(count: number): void {
    if (count === 0) return;
    this.reporter.endpoints.putAside({ parked: 0, abandoned: count });
    this.due.tell();
  }
}

function checkRequest(request: ReplayManyRequest | undefined) {
  const check = new OptionsCheck<ReplayManyRequest>('WebhookDeliveriesService', request, [
    'filter',
    'rate',
    'dryRun',
    'signal',
  ]);
  const rate = check.number('rate', RATE, { min: 0.01, max: 10_000 });
  const dryRun = check.boolean('dryRun', false);
  check.finish();
  return { filter: request?.filter, rate, dryRun, signal: request?.signal };
}

function movedOf(id: string, what: string, found: Moved | undefined): StoredDelivery {
  if (found === undefined) return unknownDelivery(id);
  if (found.moved !== undefined) return found.moved;
  const { found: state } = found;
  const why = state === 'leased' ? 'somebody is sending it at this moment' : `it is ${state}`;
  throw new DeliveryStateError(`Delivery ${id} cannot be ${what}: ${why}.`, state);
}

function unknownDelivery(id: unknown): never {
  throw new DeliveryNotFoundError(`There is no delivery ${isBigintText(id) ? id : 'of that id'}.`);
}

function isIn(states: readonly DeliveryState[], state: DeliveryState): boolean {
  return states.includes(state);
}
