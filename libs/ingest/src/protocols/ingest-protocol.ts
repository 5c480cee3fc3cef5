import type { AttemptResult, Reading } from '../answers/reading.js';
import type { Commit } from '../batching/batch.js';

/** What a request asks for, beside its documents. */
export interface ProtocolRequest {
  /** The URL's path without slashes at its end. */
  readonly basePath: string;
  readonly index: string;
  readonly commit: Commit;
  /** Asks for the rejected documents by name; only where the protocol `hasDetails`. */
  readonly detailed: boolean;
}

/** How documents are written for a server, and how its answers are read. Pure. */
export interface IngestProtocol {
  readonly name: 'native' | 'bulk';
  /** Only such a protocol is asked for details, and asked again without them after a 400. */
  readonly hasDetails: boolean;
  /** Path and query. */
  path(request: ProtocolRequest): string;
  /** What precedes a document in the body, with its line break. */
  head(id: string | undefined): string;
  /** What an attempt with `size` documents means. */
  read(result: AttemptResult, size: number, nowMs: number): Reading;
  /**
   * What is wrong with an index's name, in words that follow the option's name, or `undefined`. `basePath` as in `path`: the servers of one
   * protocol do not have one rule, and it may tell which one this is.
   */
  indexProblem(index: string, basePath?: string): string | undefined;
}
