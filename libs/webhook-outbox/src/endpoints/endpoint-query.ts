import { OptionsCheck } from '@nest-baton/core';
import { checkScope, isUuid } from '../deliveries/delivery-filter.js';
import type { PageOptions, TenantScope } from '../deliveries/stored-delivery.js';
import type { EndpointQuery } from './endpoint-records.js';
import type { EndpointFilter, EndpointStanding } from './endpoint.js';

const SUBJECT = 'WebhookEndpointsService';
const STATES: readonly EndpointStanding[] = ['active', 'disabled', 'deleted'];
const FIRST = '00000000-0000-0000-0000-000000000000';

/** Pure. A tenant that is there and undefined is refused. @throws OptionsInvalidError */
export function tenantOf(scope: TenantScope | undefined): string | undefined {
  return checkScope(scope, SUBJECT).tenant;
}

/** Pure. @throws OptionsInvalidError */
export function endpointQuery(filter: EndpointFilter = {}, page: PageOptions = {}): EndpointQuery {
  const conditions = new OptionsCheck<EndpointFilter>(SUBJECT, filter, ['tenant', 'state']);
  const { state, ...scope } = filter ?? {};
  const states = state === undefined ? ['active', 'disabled'] : Array.isArray(state) ? state : [state];
  if (states.length === 0 || !states.every((one) => (STATES as readonly unknown[]).includes(one)))
    conditions.problem(`state must be one or a list of ${STATES.join(', ')}`);
  conditions.finish();
  const check = new OptionsCheck<PageOptions>(SUBJECT, page, ['limit', 'cursor']);
  const limit = check.integer('limit', 50, { min: 1, max: 500 });
  const after = check.string('cursor', FIRST);
  if (!isUuid(after)) check.problem('cursor must be the nextCursor of a page');
  check.finish();
  return { tenant: tenantOf(scope), states: states as EndpointStanding[], after, limit };
}
