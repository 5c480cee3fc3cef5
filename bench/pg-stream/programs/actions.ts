import type { ClosedLoad } from '../measuring/closed-loop.js';
import type { OpenLoad } from '../measuring/open-loop-writers.js';

/** What a process with one subject is told to do; the parameters of `RemoteSubject.run`. */
export type Action =
  | ({ readonly action: 'append' | 'batch' | 'writers' | 'writerBatches' | 'insert' } & ClosedLoad)
  /** Readers, one a stream or more, which read from now on. */
  | { readonly action: 'follow'; readonly streams: number; readonly readersEach?: number }
  /** One chunk for each stream that nobody counts. */
  | { readonly action: 'warm'; readonly streams: number }
  /** `{ readers }`: how many have got anything. */
  | { readonly action: 'heard' }
  | ({ readonly action: 'write' } & OpenLoad)
  /** What the readers got, as soon as it is all there, at the latest after `patienceMs`. */
  | { readonly action: 'collect'; readonly expected: number; readonly patienceMs: number }
  /** Module's own numbers. */
  | { readonly action: 'stats' }
  | { readonly action: 'clear' };
