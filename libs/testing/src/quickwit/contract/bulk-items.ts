import { randomToken } from '@nest-baton/core';
import type { IngestTarget, Outcome } from './native-ingest.js';

/** The verdict on one document of a bulk, and how it is shown. */
export interface Item {
  readonly status: number;
  readonly shown: Readonly<Record<string, unknown>>;
}

interface Subject {
  readonly action: 'index' | 'create';
  readonly index: string;
  readonly id: string | undefined;
}

interface ItemError {
  readonly type: string;
  readonly reason: string;
}

type Texts = readonly [type: string, reason: string];

const QUICKWIT_TEXTS: Readonly<Record<number, Texts>> = {
  400: ['document_parsing_exception', 'failed to parse JSON document'],
  404: ['index_not_found_exception', 'no such index'],
  408: ['timeout_exception', 'timeout'],
  429: ['rate_limited_exception', 'shard rate limiting'],
};

const ELASTIC_TEXTS: Readonly<Record<number, Texts>> = {
  400: ['document_parsing_exception', 'failed to parse'],
  404: ['index_not_found_exception', 'no such index'],
  409: ['version_conflict_engine_exception', 'version conflict, document already exists (current version [1])'],
  429: ['es_rejected_execution_exception', 'rejected execution of coordinating operation'],
  503: ['unavailable_shards_exception', 'primary shard is not active'],
};

/** What servers say with a status when nothing more is known. */
export function texts(status: number, index: string, { isElastic }: Pick<IngestTarget, 'isElastic'>): ItemError {
  // Quickwit itself has no conflict to tell of; who scripts one means Elasticsearch's.
  const [type, reason] = (isElastic || status === 409 ? ELASTIC_TEXTS : QUICKWIT_TEXTS)[status] ?? [
    'internal_exception',
    'internal error',
  ];
  return { type, reason: `${reason} [${index}]` };
}

/**
 * Quickwit shows every item under `index`, also those of `create`, with `_id` and `error` always there; Elasticsearch under its action, with an id
 * of its own making, and without `error` where there is none.
 */
export function itemOf(
  subject: Subject,
  status: number,
  error: ItemError | undefined,
  { isElastic }: Pick<IngestTarget, 'isElastic'>,
): Item {
  const { index, id, action } = subject;
  const shownError = error === undefined ? null : { index, type: error.type, reason: error.reason };
  if (!isElastic) return { status, shown: { index: { _index: index, _id: id ?? null, status, error: shownError } } };
  const what = { _index: index, _id: id ?? randomToken(20) };
  if (shownError !== null) return { status, shown: { [action]: { ...what, status, error: shownError } } };
  const result = status === 200 ? 'updated' : 'created';
  const shards = { total: 1, successful: 1, failed: 0 };
  return {
    status,
    shown: { [action]: { ...what, _version: 1, result, _shards: shards, _seq_no: 0, _primary_term: 1, status } },
  };
}

/** An answer for the whole request in the form of Elasticsearch. */
export function elasticError(status: number, reason: string, type: string | null = null): Outcome {
  return { status, answer: { status, error: { type, reason, stack_trace: null, caused_by: null, root_cause: [] } } };
}
