import { type Metrics, type MetricTable, QUICK_SECONDS, SIZES_IN_BYTES } from '@nest-baton/core';

/** The OpenTelemetry instruments of an instance: `baton.pg_stream.` and the name here, each with `baton.instance`. */
export const PG_STREAM_METRICS = {
  package: '@nest-baton/pg-stream',
  version: '0.1.0',
  instruments: {
    // Writing
    appends: {
      kind: 'counter',
      unit: '{append}',
      by: 'outcome',
      values: [
        'stored',
        'in_transaction',
        'duplicate',
        'closed',
        'fenced',
        'gap',
        'misplaced',
        'busy',
        'refused',
        'unavailable',
        'unknown',
      ],
      description: 'Calls of append, by what became of them.',
    },
    'append.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'From the call of append until it was stored; the wait for the commit before included.',
    },
    'append.size': {
      kind: 'histogram',
      unit: 'By',
      buckets: SIZES_IN_BYTES,
      description: 'Size of the chunks that were stored.',
    },
    'flush.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'One statement that writes to any streams, and its commit.',
    },
    'flush.calls': {
      kind: 'histogram',
      unit: '{call}',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024],
      description: 'Appends and closes that shared a statement.',
    },
    'flush.held': {
      kind: 'counter',
      unit: '{stream}',
      description: 'Streams that a statement left out, since somebody held them.',
    },
    'pending.bytes': { kind: 'gauge', unit: 'By', description: 'Bytes that wait for their commit.' },
    opens: { kind: 'counter', unit: '{open}', description: 'Streams opened for writing.' },
    closes: {
      kind: 'counter',
      unit: '{close}',
      by: 'status',
      values: ['done', 'error', 'aborted'],
      description: 'Closes carried out, repetitions included.',
    },
    // Reading
    'chunks.read': { kind: 'counter', unit: '{chunk}', description: 'Chunks given to readers, SSE among them.' },
    'readers.ended': {
      kind: 'counter',
      unit: '{reader}',
      by: 'outcome',
      values: ['end_of_stream', 'tail', 'left', 'shutdown', 'failed'],
      description: 'Readers that ended, by why.',
    },
    'readers.active': { kind: 'gauge', unit: '{reader}', description: 'Readers that have begun and not ended.' },
    'sse.responses': { kind: 'gauge', unit: '{response}', description: 'Responses that follow a stream.' },
    'streams.watched': { kind: 'gauge', unit: '{stream}', description: 'Streams that have a reader.' },
    'streams.waiting': { kind: 'gauge', unit: '{stream}', description: 'Streams for which a reader waits.' },
    'slice.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'One query for chunks, of a reader or a page.',
    },
    // Waking
    'listener.up': { kind: 'gauge', unit: '1', description: '1 while LISTEN works, 0 while it is lost.' },
    'listener.losses': { kind: 'counter', unit: '{loss}', description: 'LISTEN connections lost or not made.' },
    'listener.reconnects': { kind: 'counter', unit: '{reconnect}', description: 'LISTEN connections made anew.' },
    'listener.echo.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'From a NOTIFY of our own until LISTEN heard it: how late hints are.',
    },
    'streams.woken': {
      kind: 'counter',
      unit: '{stream}',
      by: 'how',
      values: ['local', 'notification', 'poll', 'reconnect'],
      description: 'Streams of which a waiting reader was woken, by what.',
    },
    'delivery.lag': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'From the writing of a chunk, by the clock of Postgres, until a reader who waited for it has it.',
    },
    'notifications.sent': { kind: 'counter', unit: '{notification}', description: 'NOTIFYs sent after commits.' },
    'notifications.received': { kind: 'counter', unit: '{notification}', description: 'NOTIFYs received.' },
    'notifications.failed': { kind: 'counter', unit: '{notification}', description: 'NOTIFYs that were not sent.' },
    'poll.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'One look at all streams that are waited for.',
    },
    'poll.failures': { kind: 'counter', unit: '{failure}', description: 'Looks that failed.' },
    // Keeping
    'sweep.removed': { kind: 'counter', unit: '{chunk}', description: 'Chunks removed that were kept no longer.' },
    'sweep.aborted': {
      kind: 'counter',
      unit: '{stream}',
      description: 'Streams closed since their writer lease ran out.',
    },
    'sweep.expired': {
      kind: 'counter',
      unit: '{stream}',
      by: 'how',
      values: ['deleted', 'trimmed'],
      description: 'Streams that retention has deleted or trimmed.',
    },
    'sweep.failures': { kind: 'counter', unit: '{failure}', description: 'Sweeps that failed.' },
    // Connections
    'connections.lost': {
      kind: 'counter',
      unit: '{connection}',
      by: 'when',
      values: ['connecting', 'in_use'],
      description: 'Connections of statements that could not be had, or were lost under one.',
    },
  },
} as const satisfies MetricTable;

export type PgStreamMetrics = Metrics<typeof PG_STREAM_METRICS>;
