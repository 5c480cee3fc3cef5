import { constants, gzip } from 'node:zlib';
import { promisify } from 'node:util';

const compress = promisify(gzip);

/** Below this many bytes compression costs more than it saves. */
const COMPRESS_OVER_BYTES = 1_024;

export type Compression = 'gzip' | 'none';

/** The bytes of a request's body as they travel. */
export interface WireBody {
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
}

/** Level 1: NDJSON repeats its keys, so the cheapest level gets most of what there is to get. */
export async function toWireBody(raw: Buffer, compression: Compression): Promise<WireBody> {
  if (compression === 'none' || raw.length <= COMPRESS_OVER_BYTES) return { bytes: raw, isCompressed: false };
  return { bytes: await compress(raw, { level: constants.Z_BEST_SPEED }), isCompressed: true };
}
