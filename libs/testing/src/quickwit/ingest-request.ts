import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { describeError } from '@nest-baton/core';

/** An answer other than 200, with the body that Quickwit gives: `{"message": ...}`. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

export interface IngestQuery {
  readonly commit: 'auto' | 'wait_for' | 'force';
  readonly isDetailed: boolean;
  readonly isLegacy: boolean;
}

const ROUTE = /^\/api\/v1\/([^/]+)\/ingest$/;
const INDEX_ID = /^[a-zA-Z][a-zA-Z0-9_.-]{2,254}$/;
const MAX_DECODED_BYTES = 512 * 1024 * 1024;

/** The index of a request to the native route; `undefined` for any other path. */
export function indexOfPath(pathname: string): string | undefined {
  const found = ROUTE.exec(pathname)?.[1];
  if (found === undefined) return undefined;
  try {
    return decodeURIComponent(found);
  } catch {
    return found;
  }
}

/** What is checked before the body counts, in the server's order. The limit is of the header: the compressed size where the body is compressed. */
export function refuseByHeaders(
  method: string | undefined,
  headers: IncomingHttpHeaders,
  maxContentLength: number,
): Refusal | undefined {
  if (method !== 'POST') return { status: 405, message: 'Method Not Allowed' };
  const length = headers['content-length'];
  if (length === undefined) return { status: 411, message: 'A content-length header is required.' };
  if (Number(length) > maxContentLength)
    return { status: 413, message: `The request payload is too large, the limit is ${maxContentLength} bytes.` };
  return undefined;
}

export function readQuery(search: URLSearchParams): IngestQuery | Refusal {
  const commit = search.get('commit') ?? search.get('commit_type') ?? 'auto';
  if (commit !== 'auto' && commit !== 'wait_for' && commit !== 'force')
    return { status: 400, message: `Invalid query string: unknown commit type \`${commit}\`` };
  const isDetailed = readBoolean(search.get('detailed_response'));
  const isLegacy = readBoolean(search.get('use_legacy_ingest'));
  if (isDetailed === undefined || isLegacy === undefined)
    return { status: 400, message: 'Invalid query string: provided string was not `true` or `false`' };
  if (isDetailed && isLegacy)
    return { status: 400, message: 'detailed_response is not supported by the legacy ingest API' };
  return { commit, isDetailed, isLegacy };
}

export function refuseIndex(index: string, known: ReadonlySet<string> | undefined): Refusal | undefined {
  if (!INDEX_ID.test(index)) return { status: 400, message: `invalid index ID: \`${index}\`` };
  if (known !== undefined && !known.has(index)) return { status: 404, message: `index \`${index}\` not found` };
  return undefined;
}

type Decoder = (body: Buffer) => Promise<Buffer>;

const decoderOptions = { maxOutputLength: MAX_DECODED_BYTES };
const gunzip: Decoder = (body) => promisify(zlib.gunzip)(body, decoderOptions);
const inflate: Decoder = (body) => promisify(zlib.inflate)(body, decoderOptions);

/** The encodings that the server takes; `deflate` is that of zlib. It takes zstd too, which not every Node can read, so here it is a 415. */
const DECODERS: Readonly<Record<string, Decoder>> = {
  identity: (body) => Promise.resolve(body),
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: inflate,
  'x-deflate': inflate,
};

export async function decodeBody(body: Buffer, encoding: string | undefined): Promise<Buffer | Refusal> {
  const decode = DECODERS[encoding?.trim().toLowerCase() ?? 'identity'];
  if (decode === undefined)
    return { status: 415, message: 'Unsupported content encoding. The supported encodings are `gzip` and `zstd`.' };
  try {
    return await decode(body);
  } catch (error) {
    return { status: 400, message: `Error while decompressing the data: ${describeError(error)}` };
  }
}

function readBoolean(text: string | null): boolean | undefined {
  if (text === null || text === 'false') return false;
  return text === 'true' ? true : undefined;
}
