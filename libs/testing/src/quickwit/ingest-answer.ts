import { describeError } from '@nest-baton/core';
import type { IngestQuery } from './ingest-request.js';

/** Says what is wrong with a document for the index's mapping, or nothing. */
export type DocumentCheck = (document: Readonly<Record<string, unknown>>, index: string) => string | undefined;

export interface ParseFailure {
  readonly message: string;
  readonly reason: 'invalid_json' | 'invalid_schema';
  /** The offending line, to the letter. */
  readonly document: string;
}

/** A body of NDJSON, taken apart: what is stored, and what is refused, each in its order. */
export interface ParsedBody {
  readonly documents: readonly Readonly<Record<string, unknown>>[];
  readonly failures: readonly ParseFailure[];
}

/** Pure. Lines of white space do not count. A line that is JSON but no object is `invalid_json`, as in the server. */
export function parseBody(text: string, index: string, check: DocumentCheck | undefined): ParsedBody {
  const documents: Readonly<Record<string, unknown>>[] = [];
  const failures: ParseFailure[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const parsed = parseLine(line);
    if (typeof parsed === 'string') {
      failures.push({ message: parsed, reason: 'invalid_json', document: line });
      continue;
    }
    const objection = check?.(parsed, index);
    if (objection === undefined) documents.push(parsed);
    else failures.push({ message: objection, reason: 'invalid_schema', document: line });
  }
  return { documents, failures };
}

function parseLine(line: string): Readonly<Record<string, unknown>> | string {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    return 'the document is not a JSON object';
  } catch (error) {
    return `the document is not valid JSON: ${describeError(error)}`;
  }
}

/** The fields of the answer: v2's counts, and the failures when asked for; the legacy service knows only how many documents came. */
export function answerOf({ documents, failures }: ParsedBody, query: IngestQuery): Record<string, unknown> {
  const count = documents.length + failures.length;
  if (query.isLegacy) return { num_docs_for_processing: count };
  return {
    num_docs_for_processing: count,
    num_ingested_docs: documents.length,
    num_rejected_docs: failures.length,
    ...(query.isDetailed ? { parse_failures: failures } : {}),
  };
}
