import { LeaseLostError } from '@nest-baton/core';
import { HandoffNotOwnedError } from '../redis-reconcile.errors.js';
import type { Handoff } from './handoff.js';
import { currentHandoff } from './handoff-runner.js';
import type { LeaseKeeper } from './lease-keeper.js';
import { OwnedHandoff } from './owned-handoff.js';

/**
 * The ownership that a caller means. A name means the lease that this process holds now.
 *
 * @throws HandoffNotOwnedError; LeaseLostError for a name, inside a handler whose own ownership of it is of the past.
 */
export function ownHandoff(keeper: LeaseKeeper | undefined, handoff: Handoff | string): OwnedHandoff {
  const owned = keeper === undefined ? undefined : find(keeper, handoff);
  const dataStream = typeof handoff === 'string' ? handoff : handoff.dataStream;
  if (owned === undefined)
    throw new HandoffNotOwnedError(`This process holds no lease on data stream '${dataStream}'.`);
  const current = currentHandoff.getStore();
  if (typeof handoff === 'string' && current?.dataStream === dataStream && current.fence < owned.fence)
    throw new LeaseLostError(
      `Data stream '${dataStream}' has a newer owner in this process than the handler that asks.`,
    );
  return owned;
}

function find(keeper: LeaseKeeper, handoff: Handoff | string): OwnedHandoff | undefined {
  if (typeof handoff === 'string') return keeper.find(handoff);
  if (handoff instanceof OwnedHandoff) return handoff as OwnedHandoff;
  const held = keeper.find(handoff.dataStream);
  return held?.fence === handoff.fence ? held : undefined;
}
