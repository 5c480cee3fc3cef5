import type { Outcome } from '../contract/native-ingest.js';

/** What Elasticsearch calls an error that a script gives by its status alone. */
const TYPES: Readonly<Record<number, string>> = {
  400: 'illegal_argument_exception',
  401: 'security_exception',
  403: 'security_exception',
  404: 'index_not_found_exception',
  413: 'content_too_long_exception',
  429: 'es_rejected_execution_exception',
  503: 'cluster_block_exception',
};

/** Pure. An error of the bulk route as Elasticsearch shows it: always with a type, with its root causes, and with nothing that is null. */
export function asElastic(outcome: Outcome): Outcome {
  const { status, answer } = outcome;
  const { error } = answer as { readonly error?: { readonly type?: string | null; readonly reason?: string } };
  if (typeof error !== 'object') return outcome;
  const shown = { type: error.type ?? TYPES[status] ?? 'exception', reason: error.reason ?? '' };
  return { status, answer: { error: { root_cause: [shown], ...shown }, status } };
}
