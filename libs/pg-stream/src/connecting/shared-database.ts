import type { StreamDatabase } from './stream-database.js';

/** Inside this lib only: where a service keeps its streams, and how it tells their readers. */
export interface SharedDatabase {
  readonly database: StreamDatabase;
  readonly schema: string;
  readonly lockTimeoutMs: number;
  /** A commit has moved the stream: its readers, here and elsewhere, look again. A hint. */
  readonly moved: (stream: string) => void;
}

const databases = new WeakMap<object, SharedDatabase>();

/** Lets the opt-in parts of this lib use the connections of a service, without showing them to its users. */
export function shareDatabase(service: object, shared: SharedDatabase): void {
  databases.set(service, shared);
}

/** @throws TypeError for what is not a service of this lib. */
export function databaseOf(service: object): SharedDatabase {
  const shared = databases.get(service);
  if (shared === undefined) throw new TypeError('this is not a PgStreamService of this copy of the package');
  return shared;
}
