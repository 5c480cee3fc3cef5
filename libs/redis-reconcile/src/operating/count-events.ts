import type { TypedEvents } from '@nest-baton/core';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';

/** What is told as an event is counted as one, so that the two never disagree. */
export function countEvents(events: TypedEvents<RedisReconcileEvents>, metrics: RedisReconcileMetrics): void {
  events.on('acquired', () => metrics.add('handoffs.acquired', 1));
  events.on('done', () => metrics.add('handoffs.done', 1));
  events.on('nacked', () => metrics.add('handoffs.nacked', 1));
  events.on('released', ({ releasedWhileRunning }) =>
    metrics.add('handoffs.released', 1, releasedWhileRunning ? 'running' : 'settled'),
  );
  events.on('lost', () => metrics.add('handoffs.lost', 1));
  events.on('doneRefused', () => metrics.add('handoffs.done_refused', 1));
  events.on('requeued', ({ cause }) => metrics.add('handoffs.requeued', 1, cause));
  events.on('deadLettered', ({ reason }) => metrics.add('handoffs.dead_lettered', 1, kindOf(reason)));
  events.on('deadLetterHandled', ({ error }) =>
    metrics.add('dead_letters.told', 1, error === undefined ? 'handled' : 'failed'),
  );
  events.on('redriven', () => metrics.add('dead_letters.redriven', 1));
  events.on('purged', () => metrics.add('dead_letters.purged', 1));
  events.on('scanned', (report) => {
    metrics.record('scan.duration', report.durationMs / 1000);
    metrics.add('scan.entries', report.skippedAlive, 'alive');
    metrics.add('scan.entries', report.requeued, 'requeued');
    metrics.add('scan.entries', report.deadLettered, 'dead_lettered');
    metrics.add('scan.entries', report.lostRace, 'lost_race');
  });
  events.on('stopped', (report) => {
    metrics.add('shutdown.handoffs', report.finished, 'finished');
    metrics.add('shutdown.handoffs', report.released, 'released');
    metrics.add('shutdown.handoffs', report.releasedWhileRunning.length, 'released_while_running');
    metrics.add('shutdown.handoffs', report.abandoned.length, 'abandoned');
  });
}

/** A reason may hold what an entry held; an attribute has few values. */
function kindOf(reason: string): 'retries' | 'never_leased' | 'unreadable' {
  if (reason === 'max_retries_exceeded') return 'retries';
  return reason === 'never_leased' ? 'never_leased' : 'unreadable';
}
