import type { IncomingHttpHeaders } from 'node:http';
import { elasticError } from '../contract/bulk-items.js';
import type { Outcome } from '../contract/native-ingest.js';
import { asElastic } from './error-form.js';

/** The major version that this Elasticsearch has; it talks to clients of this one and of the one before. */
const MAJOR = 9;

const PLAIN = /^application\/(json|x-ndjson)$/;
const VERSIONED = /^application\/vnd\.elasticsearch\+(?:json|x-ndjson)\s*;\s*compatible-with=(\d+)$/;

/**
 * Pure. What Elasticsearch refuses by the media types alone, and Quickwit never looks at: a body of no type or of another than JSON (406, with a
 * bare text for an error), and a client of another major version (400), which is how a new client fails on an old server.
 */
export function refuseMediaTypes(headers: IncomingHttpHeaders): Outcome | undefined {
  const type = withoutCharset(headers['content-type']);
  if (type === '') return unsupported('Content-Type header is missing');
  const asked = versionOf(type);
  if (asked === undefined && !PLAIN.test(type)) return unsupported(`Content-Type header [${type}] is not supported`);
  const wanted = versionOf(withoutCharset(headers.accept));
  for (const [name, version] of [
    ['Accept', wanted],
    ['Content-Type', asked],
  ] as const)
    if (version !== undefined && version !== MAJOR && version !== MAJOR - 1)
      return incompatible(`${name} version must be either version ${MAJOR} or ${MAJOR - 1}, but found ${version}.`);
  if (headers.accept !== undefined && wanted !== asked && (wanted !== undefined || asked !== undefined))
    return incompatible('A compatible version is required on both Content-Type and Accept headers.');
  return undefined;
}

/** Pure. The type of an answer is the one that was asked for, where that names a version. */
export function answerType(accept: string | undefined): string {
  const version = versionOf(withoutCharset(accept));
  return version === undefined ? 'application/json' : `application/vnd.elasticsearch+json;compatible-with=${version}`;
}

function versionOf(type: string): number | undefined {
  const version = VERSIONED.exec(type)?.[1];
  return version === undefined ? undefined : Number(version);
}

function withoutCharset(type: string | undefined): string {
  return (type ?? '')
    .replace(/;\s*charset=[^;]*/i, '')
    .trim()
    .toLowerCase();
}

function unsupported(error: string): Outcome {
  return { status: 406, answer: { error, status: 406 } };
}

function incompatible(reason: string): Outcome {
  const { status, answer } = asElastic(
    elasticError(400, 'Invalid media-type value on headers [Content-Type, Accept]', 'media_type_header_exception'),
  );
  return {
    status,
    answer: { ...answer, error: { ...(answer['error'] as object), caused_by: { type: 'status_exception', reason } } },
  };
}
