import { BulkProtocol } from './bulk.js';
import { NativeProtocol } from './native.js';
import type { IngestProtocol } from './ingest-protocol.js';

export type { IngestProtocol, ProtocolRequest } from './ingest-protocol.js';

/** `hasIds`: documents have deterministic ids, so that a conflict under `bulk` is no rejection. */
export function protocolOf(name: 'native' | 'bulk', hasIds: boolean): IngestProtocol {
  return name === 'bulk' ? new BulkProtocol(hasIds) : new NativeProtocol();
}
