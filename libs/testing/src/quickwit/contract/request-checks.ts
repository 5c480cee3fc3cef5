import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/** An answer other than 200 that the server gives before it looks at the content, always as `{"message": ...}`, on every route. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

export type CommitType = 'auto' | 'wait_for' | 'force';

export interface NativeQuery {
  readonly commit: CommitType;
  readonly isDetailed: boolean;
  readonly isLegacy: boolean;
}

export interface BulkQuery {
  readonly commit: CommitType;
  readonly isLegacy: boolean;
}

const MAX_DECODED_BYTES = 512 * 1024 * 1024;
const BAD_QUERY: Refusal = { status: 400, message: 'Invalid query string' };
const COMMIT_OF_REFRESH: Readonly<Record<string, CommitType>> = {
  false: 'auto',
  '': 'force',
  true: 'force',
  wait_for: 'wait_for',
};

/** What is checked before the body counts, in the server's order. The limit is of the header: the compressed size where the body is compressed. */
export function refuseByHeaders(
  { method, headers }: { readonly method: string; readonly headers: IncomingHttpHeaders },
  {
    methods,
    maxContentLength,
    needsLength,
  }: { methods: readonly string[]; maxContentLength: number; needsLength: boolean },
): Refusal | undefined {
  if (!methods.includes(method)) return { status: 405, message: 'HTTP method not allowed' };
  const length = headers['content-length'];
  if (length === undefined && needsLength) return { status: 411, message: 'A content-length header is required' };
  if (Number(length ?? 0) > maxContentLength) return { status: 413, message: 'The request payload is too large' };
  return undefined;
}

/** Parameters that the server does not know are ignored; a known one given twice is not. `commit` and `commit_type` are the same one. */
export function readNativeQuery(search: URLSearchParams): NativeQuery | Refusal {
  const commits = [...search.getAll('commit'), ...search.getAll('commit_type')];
  const commit = commits[0] ?? 'auto';
  const isDetailed = readBoolean(search, 'detailed_response');
  const isLegacy = readBoolean(search, 'use_legacy_ingest');
  if (commits.length > 1 || !isCommitType(commit) || isDetailed === undefined || isLegacy === undefined)
    return BAD_QUERY;
  return { commit, isDetailed, isLegacy };
}

export function readBulkQuery(search: URLSearchParams): BulkQuery | Refusal {
  const refreshes = search.getAll('refresh');
  const commit = COMMIT_OF_REFRESH[refreshes[0] ?? 'false'];
  const isLegacy = readBoolean(search, 'use_legacy_ingest');
  if (refreshes.length > 1 || commit === undefined || isLegacy === undefined) return BAD_QUERY;
  return { commit, isLegacy };
}

type Decoder = (body: Buffer) => Promise<Buffer>;

const decoderOptions = { maxOutputLength: MAX_DECODED_BYTES };
const gunzip: Decoder = (body) => promisify(zlib.gunzip)(body, decoderOptions);
const inflate: Decoder = (body) => promisify(zlib.inflate)(body, decoderOptions);

/** Only newer Nodes have it; on others, zstd is an unknown encoding here. */
function zstd(): { readonly zstd?: Decoder } {
  const decompress = (zlib as { zstdDecompress?: unknown }).zstdDecompress as typeof zlib.gunzip | undefined;
  if (decompress === undefined) return {};
  return { zstd: (body) => promisify<Buffer, zlib.ZlibOptions, Buffer>(decompress)(body, decoderOptions) };
}

/** The encodings that the server takes, spelled as here and not otherwise; `deflate` is that of zlib. */
const DECODERS: Readonly<Record<string, Decoder>> = {
  identity: (body) => Promise.resolve(body),
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: inflate,
  'x-deflate': inflate,
  ...zstd(),
};

export async function decodeBody(body: Buffer, encoding: string | undefined): Promise<Buffer | Refusal> {
  const decode = DECODERS[encoding ?? 'identity'];
  if (decode === undefined)
    return {
      status: 415,
      message: `Unsupported Content-Encoding ${encoding}. Supported encodings are 'gzip' and 'zstd'`,
    };
  try {
    return await decode(body);
  } catch {
    return { status: 400, message: 'Error while decompressing the data' };
  }
}

function isCommitType(text: string): text is CommitType {
  return text === 'auto' || text === 'wait_for' || text === 'force';
}

/** `undefined` for what is neither `true` nor `false`, or stands there twice. */
function readBoolean(search: URLSearchParams, name: string): boolean | undefined {
  const [text = 'false', ...more] = search.getAll(name);
  if (more.length > 0 || (text !== 'true' && text !== 'false')) return undefined;
  return text === 'true';
}
