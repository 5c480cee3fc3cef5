import type { Handoff, HandoffNotification, RedisReconcileService } from '@nest-baton/redis-reconcile';
import { waitFor } from '@nest-baton/testing';

/** A consumer that pulls as fast as it can and keeps what it was told. */
export interface Puller {
  readonly told: readonly HandoffNotification[];
  /** Hand-offs that were added, oldest first. */
  readonly added: readonly Handoff[];
  ofType(type: HandoffNotification['type']): HandoffNotification[];
  until(type: HandoffNotification['type'], count?: number): Promise<HandoffNotification>;
  /** Resolves when the iteration has ended, rejects when it failed. */
  readonly ended: Promise<void>;
}

export function pull(
  service: RedisReconcileService,
  concurrency = 10,
  options: { readonly maxReadFailures?: number } = {},
): Puller {
  const told: HandoffNotification[] = [];
  const added: Handoff[] = [];
  const run = async (): Promise<void> => {
    for await (const notification of service.notifications({ concurrency, ...options })) {
      told.push(notification);
      if (notification.type === 'StreamAdded') added.push(notification.handoff);
    }
  };
  const ended = run();
  ended.catch(() => undefined);
  const ofType = (type: HandoffNotification['type']) => told.filter((one) => one.type === type);
  return {
    told,
    added,
    ofType,
    ended,
    until: async (type, count = 1) => {
      await waitFor(() => ofType(type).length >= count, { description: `${count} x ${type}` });
      return ofType(type)[count - 1] as HandoffNotification;
    },
  };
}
