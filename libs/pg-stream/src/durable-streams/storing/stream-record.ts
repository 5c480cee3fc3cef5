import type { Expiry } from '../protocol/request-headers.js';
import type { StreamStatus } from '../../reading/chunk.js';

/** A stream as the protocol sees it, in one snapshot. */
export interface StreamRecord {
  readonly id: number;
  readonly name: string;
  readonly contentType: string;
  readonly firstIndex: number;
  readonly nextIndex: number;
  readonly status: StreamStatus;
  readonly originId: number;
  readonly expiry: Expiry;
  readonly isExpired: boolean;
  /** Deleted while forks of it live. */
  readonly isGone: boolean;
  readonly fork: StoredFork | undefined;
}

export interface StoredFork {
  readonly sourceId: number;
  readonly offset: string | undefined;
  readonly subOffset: number;
}

export interface NewRecord {
  readonly contentType: string;
  readonly expiry: Expiry;
  /** Default: its own id. */
  readonly originId: number | undefined;
  readonly fork: StoredFork | undefined;
}
