import { LONG_SECONDS, type Metrics, type MetricTable, QUICK_SECONDS } from '@nest-baton/core';

/** The OpenTelemetry instruments of an instance: `baton.redis_reconcile.` and the name here, each with `baton.instance`. */
export const REDIS_RECONCILE_METRICS = {
  package: '@nest-baton/redis-reconcile',
  version: '0.1.0',
  instruments: {
    // Handing off
    'handoffs.produced': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'outcome',
      values: ['added', 'duplicate', 'refused', 'unconfirmed', 'unknown'],
      description: 'Calls of produce, by what became of them.',
    },
    'produce.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'From the call of produce until Redis had the hand-off.',
    },
    // Owning
    'handoffs.acquired': { kind: 'counter', unit: '{handoff}', description: 'Ownerships that began here.' },
    'handoffs.done': { kind: 'counter', unit: '{handoff}', description: 'Done: their end.' },
    'handoffs.nacked': { kind: 'counter', unit: '{handoff}', description: 'Refused by their handler; they come back.' },
    'handoffs.released': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'handler',
      values: ['settled', 'running'],
      description: 'Handed back unfinished, by what their handler did at that moment.',
    },
    'handoffs.lost': {
      kind: 'counter',
      unit: '{handoff}',
      description: 'Ownerships that were lost, or not certain any more; their handlers were told.',
    },
    'handoffs.done_refused': {
      kind: 'counter',
      unit: '{handoff}',
      description: 'Handlers that resolved when the work had another owner.',
    },
    'handoffs.owned': { kind: 'gauge', unit: '{handoff}', description: 'Owned by this process.' },
    'handler.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: LONG_SECONDS,
      by: 'outcome',
      values: ['resolved', 'threw'],
      description: 'One call of the handler.',
    },
    'leases.renewed': {
      kind: 'counter',
      unit: '{lease}',
      by: 'outcome',
      values: ['renewed', 'lapsed', 'lost', 'failed'],
      description: 'Renewals of leases; a failed one is tried again until the deadline.',
    },
    // Recovering
    'handoffs.requeued': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'cause',
      values: ['crash', 'nack', 'never_leased'],
      description: 'Given to somebody else by this process.',
    },
    'handoffs.dead_lettered': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'reason',
      values: ['retries', 'never_leased', 'unreadable'],
      description: 'Given up by this process: their end.',
    },
    'dead_letters.told': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'outcome',
      values: ['handled', 'failed'],
      description: 'Calls of onDeadLetter; a failed one is repeated.',
    },
    'dead_letters.redriven': { kind: 'counter', unit: '{handoff}', description: 'Handed off again by this process.' },
    'dead_letters.purged': { kind: 'counter', unit: '{handoff}', description: 'Forgotten by this process.' },
    'scan.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'One look at the pending entries of all partitions.',
    },
    'scan.entries': {
      kind: 'counter',
      unit: '{entry}',
      by: 'finding',
      values: ['alive', 'requeued', 'dead_lettered', 'lost_race'],
      description: 'Entries that looks found silent for long; those that expiry events told of are not among them.',
    },
    'scan.failures': { kind: 'counter', unit: '{failure}', description: 'Looks that failed.' },
    'expiry_events.heard': { kind: 'counter', unit: '{event}', description: 'Leases that Redis said ran out.' },
    'expiry_events.covered': {
      kind: 'gauge',
      unit: '1',
      description: '1 while expiry events arrive, 0 while they were asked for and do not.',
    },
    'expiry_events.setups': {
      kind: 'counter',
      unit: '{master}',
      by: 'outcome',
      values: ['covered', 'not_covered'],
      description: 'Masters that were asked for their expiry events, one by one, at start and at each reset.',
    },
    // A cluster
    'topology.masters': { kind: 'gauge', unit: '{master}', description: 'Masters that own slots.' },
    'topology.masters_subscribed': {
      kind: 'gauge',
      unit: '{master}',
      description: 'Those whose expiry events arrive.',
    },
    'topology.settled': { kind: 'gauge', unit: '1', description: '1 while all nodes that answer agree, else 0.' },
    'topology.resets': {
      kind: 'counter',
      unit: '{reset}',
      by: 'outcome',
      values: ['done', 'not_settled'],
      description: 'Times that the masters were followed anew, or could not be since the cluster had not settled.',
    },
    'notifications.dropped': {
      kind: 'counter',
      unit: '{notification}',
      description: 'Hints (StreamExpired) that an iterator had no room for.',
    },
    // The whole instance, as Redis sees it: the same from every process
    'handoffs.queued': { kind: 'gauge', unit: '{handoff}', description: 'Not read by anybody yet.' },
    'handoffs.pending': { kind: 'gauge', unit: '{handoff}', description: 'Read and not finished.' },
    'handoffs.waiting': { kind: 'gauge', unit: '{handoff}', description: 'Waiting for their data stream.' },
    'handoffs.held': { kind: 'gauge', unit: '{handoff}', description: 'In their back-off; also pending.' },
    'handoffs.dead': { kind: 'gauge', unit: '{handoff}', description: 'Dead letters that are kept.' },
    lag: { kind: 'gauge', unit: 's', description: 'Age of the oldest hand-off that is queued or pending.' },
    // A change of the number of partitions
    'repartition.moved': {
      kind: 'counter',
      unit: '{entry}',
      by: 'kind',
      values: ['handoffs', 'dead_letters'],
      description: 'Moved by this process to the partitions of another number.',
    },
    'repartition.draining': {
      kind: 'gauge',
      unit: '1',
      description: '1 while there may be something under the old number of partitions, else 0.',
    },
    // Connection and shutdown
    'connection.up': { kind: 'gauge', unit: '1', description: '1 while Redis takes commands, else 0.' },
    'connection.gaps': {
      kind: 'counter',
      unit: '{gap}',
      description: 'Times that commands worked again after some had not.',
    },
    'shutdown.handoffs': {
      kind: 'counter',
      unit: '{handoff}',
      by: 'outcome',
      values: ['finished', 'released', 'released_while_running', 'abandoned'],
      description: 'What became of the work that was owned when shutdown began.',
    },
  },
} as const satisfies MetricTable;

export type RedisReconcileMetrics = Metrics<typeof REDIS_RECONCILE_METRICS>;
