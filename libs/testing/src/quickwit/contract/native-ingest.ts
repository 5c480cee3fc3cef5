import { type DocumentCheck, linesOf, type ParseFailure, readDocument } from './documents.js';
import { type FailureReason, nativeFailure } from './failure-reasons.js';
import type { Indexes } from './indexes.js';
import type { NativeQuery } from './request-checks.js';

/** What a route answers with. */
export interface Outcome {
  readonly status: number;
  readonly answer: Readonly<Record<string, unknown>>;
}

/** The server that a request is for: its indexes and its settings. */
export interface IngestTarget {
  readonly indexes: Indexes;
  readonly check: DocumentCheck | undefined;
  readonly isValidating: boolean;
  readonly isV1Enabled: boolean;
  readonly isV2Enabled: boolean;
  readonly isElastic: boolean;
}

/** A failure behind the route, for one index or for all. */
export interface Failure {
  readonly reason: FailureReason;
  readonly index?: string | undefined;
}

export const V1_DISABLED = 'ingest v1 is disabled: environment variable `QW_DISABLE_INGEST_V1` is set';

const INDEX_ID = /^[a-zA-Z][a-zA-Z0-9_.-]{2,254}$/;

export function isIndexId(index: string): boolean {
  return INDEX_ID.test(index);
}

/** `POST /api/v1/<index>/ingest` from the point on where the body is decoded and the query read. */
export function ingestNative(
  body: Buffer,
  index: string,
  query: NativeQuery,
  target: IngestTarget,
  failure?: Failure,
): Outcome {
  const lines = linesOf(body);
  if (query.isLegacy || !target.isV2Enabled) return ingestLegacy(lines, index, query, target);
  // In this order: a body without documents is answered before anybody looks at the index.
  if (lines.length === 0) return { status: 200, answer: { num_docs_for_processing: 0 } };
  if (!isIndexId(index)) return refuse(400, 'bad request (invalid index ID)');
  if (!target.indexes.has(index)) return notFound(index);
  if (failure !== undefined && (failure.index ?? index) === index) {
    const { status, message } = nativeFailure(failure.reason, index);
    return refuse(status, message);
  }
  const failures = storeLines(lines, index, target);
  const answer = {
    num_docs_for_processing: lines.length,
    num_ingested_docs: lines.length - failures.length,
    num_rejected_docs: failures.length,
  };
  return { status: 200, answer: query.isDetailed ? { ...answer, parse_failures: failures } : answer };
}

/** The first version of the service counts documents and looks at them later: bad ones are gone without a word. */
function ingestLegacy(lines: readonly Buffer[], index: string, query: NativeQuery, target: IngestTarget): Outcome {
  if (!target.isV1Enabled) return refuse(500, `an internal error occurred: ${V1_DISABLED}`);
  if (query.isDetailed) return refuse(400, 'bad request (detailed_response is not supported in ingest v1)');
  if (!target.indexes.has(index)) return notFound(index);
  storeLines(lines, index, { ...target, isValidating: false });
  return { status: 200, answer: { num_docs_for_processing: lines.length } };
}

/** Stores what is good; what is bad is a failure, or, where nobody validates, thrown away behind the sender's back. */
function storeLines(lines: readonly Buffer[], index: string, target: IngestTarget): ParseFailure[] {
  const failures: ParseFailure[] = [];
  for (const line of lines) {
    const { document, failure } = readDocument(line, index, target.check);
    if (document !== undefined) target.indexes.add(index, document);
    else if (target.isValidating) failures.push(failure);
    else target.indexes.drop(index, failure.document);
  }
  return failures;
}

function notFound(index: string): Outcome {
  return refuse(404, nativeFailure('index_not_found', index).message);
}

export function refuse(status: number, message: string): Outcome {
  return { status, answer: { message } };
}
