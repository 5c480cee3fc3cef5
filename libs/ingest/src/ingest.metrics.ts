import { COUNTS, LONG_SECONDS, type MetricTable, QUICK_SECONDS, SIZES_IN_BYTES } from '@nest-baton/core';

/** The instruments; each carries `baton.instance`. Nothing is counted document by document but what is refused on its way in. */
export const INGEST_METRICS = {
  package: '@nest-baton/ingest',
  version: '0.1.0',
  instruments: {
    'documents.settled': {
      kind: 'counter',
      by: 'outcome',
      values: ['accepted', 'discarded', 'unknown'],
      unit: '{document}',
      description: 'Documents that came to their end.',
    },
    'documents.discarded': {
      kind: 'counter',
      by: 'reason',
      values: ['encode', 'invalid', 'too_large', 'buffer_full', 'aborted', 'closed', 'rejected', 'server'],
      unit: '{document}',
      description: 'Of them, those that are certainly not on the server, by the reason.',
    },
    'documents.maybe_duplicate': {
      kind: 'counter',
      unit: '{document}',
      description: 'Accepted documents that an attempt without an answer may have stored before.',
    },
    'request.duration': {
      kind: 'histogram',
      by: 'outcome',
      values: ['accepted', 'too_large', 'refused', 'denied', 'retry', 'ambiguous'],
      unit: 's',
      buckets: QUICK_SECONDS,
      description:
        'One attempt, from asking `auth` to the last byte of the answer, by what it meant for the documents.',
    },
    'batch.duration': {
      kind: 'histogram',
      unit: 's',
      buckets: LONG_SECONDS,
      description: 'From the arrival of the oldest document of a batch until it settled.',
    },
    'batch.documents': {
      kind: 'histogram',
      unit: '{document}',
      buckets: COUNTS,
      description: 'Documents that settled together.',
    },
    'batch.size': {
      kind: 'histogram',
      unit: 'By',
      buckets: SIZES_IN_BYTES,
      description: 'Their bytes, uncompressed.',
    },
    'buffer.documents': {
      kind: 'gauge',
      unit: '{document}',
      description: 'Documents admitted and not settled, those in flight included.',
    },
    'buffer.size': { kind: 'gauge', unit: 'By', description: 'Their bytes, uncompressed.' },
    'waiting.documents': {
      kind: 'gauge',
      unit: '{document}',
      description: 'Documents whose call waits for room in the buffer.',
    },
    'requests.in_flight': { kind: 'gauge', unit: '{request}', description: 'Requests that run.' },
    'concurrency.limit': {
      kind: 'gauge',
      unit: '{request}',
      description: 'Requests that may run at a time, those that wait for a commit aside.',
    },
    'circuit.open': {
      kind: 'gauge',
      unit: '1',
      description: '1 while the server does not want our requests and one at a time finds out, else 0.',
    },
    lag: { kind: 'gauge', unit: 's', description: 'Age of the oldest document that has not settled.' },
  },
} as const satisfies MetricTable;

/** What one attempt meant for its documents. */
export type RequestOutcome = (typeof INGEST_METRICS.instruments)['request.duration']['values'][number];
