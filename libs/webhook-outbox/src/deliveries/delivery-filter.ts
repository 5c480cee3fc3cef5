import { OptionsCheck } from '@nest-baton/core';
import type { DeliveryState } from '../delivering/delivery.js';
import { isTypePattern } from '../producing/subscribers.js';
import { isStoredText } from '../schema/stored-text.js';
import type { PageOptions, TenantScope } from './stored-delivery.js';

/** Which deliveries; what is left out does not matter. */
export interface DeliveryFilter extends TenantScope {
  readonly endpointId?: string;
  readonly state?: DeliveryState | readonly DeliveryState[];
  /** An event type, exact or with `*` for any characters. */
  readonly type?: string;
  readonly outboxId?: string;
  /** The `id` given to `send`; unique in its tenant. */
  readonly eventId?: string;
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
}

export interface CheckedFilter extends Omit<DeliveryFilter, 'state'> {
  readonly states: readonly DeliveryState[];
}

/** A filter as SQL, over deliveries `d` and their events `e`. */
export interface FilterSql {
  readonly condition: string;
  readonly values: readonly unknown[];
}

export interface CheckedPage {
  readonly limit: number;
  /** Ids below. */
  readonly before: string;
}

const KEYS = ['tenant', 'endpointId', 'state', 'type', 'outboxId', 'eventId', 'createdAfter', 'createdBefore'] as const;

const STATES: readonly DeliveryState[] = [
  'queued',
  'ready',
  'leased',
  'parked',
  'delivered',
  'failed',
  'dead',
  'abandoned',
  'expired',
];

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FIRST_TIME = Date.parse('0001-01-01T00:00:00Z');
const HIGHEST_ID = 2n ** 63n - 1n;

/** A bigint above 0 as the database writes it: the id of a delivery, a fence. */
export function isBigintText(id: unknown): id is string {
  return typeof id === 'string' && /^[1-9]\d{0,18}$/.test(id) && BigInt(id) <= HIGHEST_ID;
}

export function isUuid(id: unknown): id is string {
  return typeof id === 'string' && UUID.test(id);
}

/**
 * Pure. A key that is there and undefined is refused: a tenant that went missing on its way must not become all tenants.
 *
 * @throws OptionsInvalidError
 */
export function checkScope(scope: TenantScope | undefined, subject = 'WebhookDeliveriesService'): TenantScope {
  const check = new OptionsCheck<TenantScope>(subject, scope, ['tenant']);
  checkText(check, typeof scope === 'object' && scope !== null ? scope : {}, 'tenant');
  check.finish();
  return scope ?? {};
}

/**
 * Pure. `allowed`: the states that it can be about; all of them when it names none.
 *
 * @throws OptionsInvalidError naming every problem; unknown keys too, since a misspelt condition would widen the filter.
 */
export function checkFilter(
  filter: DeliveryFilter | undefined,
  allowed: readonly DeliveryState[] = STATES,
): CheckedFilter {
  const check = new OptionsCheck<DeliveryFilter>('WebhookDeliveriesService', filter, KEYS);
  const given = typeof filter === 'object' && filter !== null ? filter : {};
  for (const key of ['tenant', 'eventId'] as const) checkText(check, given, key);
  if ('type' in given && !isTypePattern(given.type))
    check.problem("type must be letters, digits, underscores, dots and '*', at most 128 characters");
  for (const key of ['endpointId', 'outboxId'] as const)
    if (key in given && !isUuid(given[key])) check.problem(`${key} must be a UUID`);
  for (const key of ['createdAfter', 'createdBefore'] as const)
    if (key in given && !isDate(given[key])) check.problem(`${key} must be a Date`);
  const states = statesOf(check, given, allowed);
  check.finish();
  const { state: _state, ...conditions } = given;
  return { ...conditions, states };
}

/** A filter that means something: of all deliveries of all tenants nothing is asked by leaving everything out. */
export function checkNarrowFilter(
  filter: DeliveryFilter | undefined,
  allowed: readonly DeliveryState[],
): CheckedFilter {
  const checked = checkFilter(filter, allowed);
  const check = new OptionsCheck<DeliveryFilter>('WebhookDeliveriesService', undefined, KEYS);
  check.rule(Object.keys(filter ?? {}).length > 0, `filter must have at least one of ${KEYS.join(', ')}`);
  check.finish();
  return checked;
}

/** Pure. @throws OptionsInvalidError */
export function checkPage(page: PageOptions | undefined): CheckedPage {
  const check = new OptionsCheck<PageOptions>('WebhookDeliveriesService', page, ['limit', 'cursor']);
  const limit = check.integer('limit', 50, { min: 1, max: 500 });
  const before = page?.cursor === undefined ? String(HIGHEST_ID) : positionOf(page.cursor);
  if (before === undefined) check.problem('cursor must be the nextCursor of a page');
  check.finish();
  return { limit, before: before ?? '' };
}

export function cursorAt(id: string): string {
  return Buffer.from(`d1:${id}`).toString('base64url');
}

/** Undefined: no page gave it. Whatever it says, it is a number that is compared with ids within the filter. */
function positionOf(cursor: unknown): string | undefined {
  if (typeof cursor !== 'string' || cursor.length > 64) return undefined;
  const id = /^d1:(\d+)$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'))?.[1];
  return isBigintText(id) ? id : undefined;
}

/** Pure. `from`: the number of the first parameter. States are words of ours and stand in the text, so that partial indexes are found. */
export function filterSql(filter: CheckedFilter, schema: string, from: number): FilterSql {
  const { tenant, endpointId, type, outboxId, eventId, createdAfter, createdBefore, states } = filter;
  const values: unknown[] = [];
  const parts = [`d.state IN (${states.map((state) => `'${state}'`).join(', ')})`];
  const add = (value: unknown, part: (parameter: string) => string): void => {
    if (value === undefined) return;
    parts.push(part(`$${from + values.length}`));
    values.push(value);
  };
  add(
    tenant,
    (of) => `e.tenant = ${of} AND d.endpoint_id IN (SELECT id FROM ${schema}.webhook_endpoints WHERE tenant = ${of})`,
  );
  add(endpointId, (of) => `d.endpoint_id = ${of}::uuid`);
  add(outboxId, (of) => `d.event_id = ${of}::uuid`);
  add(eventId, (of) => `e.dedupe_key = ${of}`);
  add(type, (of) => `e.type LIKE replace(replace(${of}::text, '_', '!_'), '*', '%') ESCAPE '!'`);
  add(createdAfter, (of) => `d.created_at > ${of}::timestamptz`);
  add(createdBefore, (of) => `d.created_at < ${of}::timestamptz`);
  return { condition: parts.join(' AND '), values };
}

function statesOf(
  check: OptionsCheck<DeliveryFilter>,
  given: DeliveryFilter,
  allowed: readonly DeliveryState[],
): readonly DeliveryState[] {
  if (!('state' in given)) return allowed;
  const states: readonly unknown[] = Array.isArray(given.state) ? given.state : [given.state];
  const isKnown = states.length > 0 && states.every((state) => (allowed as readonly unknown[]).includes(state));
  if (!isKnown) check.problem(`state must be one or a list of ${allowed.join(', ')}`);
  return isKnown ? (states as DeliveryState[]) : allowed;
}

function checkText<Keys extends object>(check: OptionsCheck<Keys>, given: Keys, key: keyof Keys & string): void {
  if (!(key in given)) return;
  if (!isStoredText(given[key], 256)) check.problem(`${key} must be a text of at most 256 characters, or left out`);
}

/** Also of another realm. Of our era, since further back Postgres knows no such time. */
function isDate(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Date]' && (value as Date).getTime() >= FIRST_TIME;
}
