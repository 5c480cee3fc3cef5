import { LONG_SECONDS, type MetricTable, QUICK_SECONDS } from '@nest-baton/core';

/** The instruments; each carries `baton.instance`. */
export const WEBHOOK_OUTBOX_METRICS = {
  package: '@nest-baton/webhook-outbox',
  version: '0.1.0',
  instruments: {
    'events.sent': {
      kind: 'counter',
      by: 'outcome',
      values: ['persisted', 'duplicate', 'nobody_subscribed', 'unconfirmed'],
      unit: '{event}',
      description:
        'What calls of `send` and `sendTest` came to; one within a transaction counts although that may roll back.',
    },
    hand_offs: {
      kind: 'counter',
      by: 'outcome',
      values: ['handed_over', 'failed', 'skipped'],
      unit: '{event}',
      description:
        'Events of which the queue was told, by the producer or by the sweep; `skipped`: too many were waiting for it.',
    },
    'events.swept': {
      kind: 'counter',
      unit: '{event}',
      description: 'Events that the sweep found due although their message should have been consumed.',
    },
    'unconfirmed.requests': {
      kind: 'counter',
      by: 'outcome',
      values: ['delivered', 'failed', 'cut'],
      unit: '{request}',
      description: 'Requests of events that could not be stored, each made once, by what came of it.',
    },
    'fan_outs.completed': {
      kind: 'counter',
      unit: '{event}',
      description: 'Events that more than 200 endpoints want and of which this process made the last deliveries.',
    },
    'deliveries.promoted': {
      kind: 'counter',
      by: 'found',
      values: ['told', 'sweep'],
      unit: '{delivery}',
      description:
        'Deliveries of endpoints with an order that have got their turn; `sweep`: nobody had told, as who had to tell was gone.',
    },
    'deliveries.settled': {
      kind: 'counter',
      by: 'state',
      values: ['delivered', 'failed', 'dead'],
      unit: '{delivery}',
      description: 'Deliveries that this process brought to their terminal state.',
    },
    'deliveries.given_up': {
      kind: 'counter',
      by: 'reason',
      values: ['answered', 'redirected', 'refused-destination', 'event-missing', 'exhausted', 'crash-loop', 'given-up'],
      unit: '{delivery}',
      description: 'Of them, those that failed or are dead, by the reason.',
    },
    'deliveries.put_aside': {
      kind: 'counter',
      by: 'state',
      values: ['parked', 'abandoned'],
      unit: '{delivery}',
      description:
        'Open deliveries of endpoints that were disabled or deleted, and those that were abandoned by a call.',
    },
    'deliveries.replayed': {
      kind: 'counter',
      unit: '{delivery}',
      description: 'Deliveries that are sent again because somebody asked for it.',
    },
    'deliveries.expired': {
      kind: 'counter',
      unit: '{delivery}',
      description: 'Parked deliveries that nobody replayed before `retention.parked` was over.',
    },
    'deliveries.removed': {
      kind: 'counter',
      by: 'state',
      values: ['delivered', 'failed', 'dead', 'abandoned', 'expired'],
      unit: '{delivery}',
      description: 'Deliveries that the cleanup of this process removed, by the state in which they were kept.',
    },
    'events.removed': {
      kind: 'counter',
      unit: '{event}',
      description: 'Events that the cleanup of this process removed.',
    },
    'cleanup.failures': {
      kind: 'counter',
      unit: '{failure}',
      description: 'Cleanups that failed; the next one goes on.',
    },
    'endpoints.changed': {
      kind: 'counter',
      by: 'change',
      values: ['paused', 'failing', 'disabling', 'disabled', 'recovered'],
      unit: '{endpoint}',
      description: 'What became of endpoints, as this process found and wrote it.',
    },
    'leases.lost': {
      kind: 'counter',
      unit: '{lease}',
      description: 'Claims that ended before their outcome was written: the delivery is sent again with the same id.',
    },
    'outcomes.late': {
      kind: 'counter',
      by: 'outcome',
      values: ['delivered', 'failed', 'retry'],
      unit: '{attempt}',
      description: 'Outcomes that came after their lease had ended, by what they were: in the history, moving nothing.',
    },
    'request.duration': {
      kind: 'histogram',
      by: 'outcome',
      values: ['delivered', 'failed', 'retry', 'cut'],
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'One request to a receiver, by what it meant for the delivery; `cut` by the shutdown.',
    },
    'claim.delay': {
      kind: 'histogram',
      unit: 's',
      buckets: LONG_SECONDS,
      description: 'From the moment when a delivery was due until it was claimed, by the database’s clock.',
    },
    'claims.found_late': {
      kind: 'counter',
      unit: '{delivery}',
      description: 'Due deliveries that only the full look each 10 s found, as of transactions that took long.',
    },
    'shutdown.left': {
      kind: 'counter',
      by: 'outcome',
      values: ['released', 'cut', 'unsettled'],
      unit: '{delivery}',
      description: 'What became of the claims that the relay held when it stopped.',
    },
    'requests.in_flight': { kind: 'gauge', unit: '{request}', description: 'Requests that run.' },
    'claims.buffered': {
      kind: 'gauge',
      unit: '{delivery}',
      description: 'Claimed deliveries whose endpoint is being read.',
    },
    'fan_outs.pending': {
      kind: 'gauge',
      unit: '{event}',
      description: 'Such events of which deliveries are still to be made, of the whole table.',
    },
    'lines.halted': {
      kind: 'gauge',
      unit: '{line}',
      description:
        'Keys of endpoints with an order whose events wait for a replay or an abandonment, of the whole table. Missing where no relay runs.',
    },
    'endpoints.snapshot_age': {
      kind: 'gauge',
      unit: 's',
      description:
        'Age of what `send-once` knows of the endpoints; it is used up to ten minutes. Missing where there is none.',
    },
    'outcomes.unsettled': { kind: 'gauge', unit: '{delivery}', description: 'Outcomes that wait to be written.' },
    lag: {
      kind: 'gauge',
      unit: 's',
      description:
        'Age of the oldest delivery that is due and not claimed, or still to be made of an event, of the whole table.',
    },
  },
} as const satisfies MetricTable;

/** What one request meant for its delivery. */
export type RequestOutcome = (typeof WEBHOOK_OUTBOX_METRICS.instruments)['request.duration']['values'][number];

export type EndpointChange = (typeof WEBHOOK_OUTBOX_METRICS.instruments)['endpoints.changed']['values'][number];

/** What came of telling the queue. */
export type HandOffOutcome = (typeof WEBHOOK_OUTBOX_METRICS.instruments)['hand_offs']['values'][number];
