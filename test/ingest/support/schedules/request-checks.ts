import type { Schedule } from './schedule.js';
import type { VirtualRequest } from './virtual-request.js';

/** Requests with `wait_for` and `force`. */
const MOST_COMMITS = 64;

/** A time in which no request may begin. */
export interface Pause {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** What must hold of every request that begins: its size, how many there are, and that nobody asked for a pause. `open` includes it. */
export function checkRequest(
  { options, authMs }: Schedule,
  { number, docs, bytes, commit, dispatchedAtMs }: VirtualRequest,
  open: Iterable<VirtualRequest>,
  pauses: readonly Pause[],
  violation: (what: string) => void,
): void {
  const { maxBatchDocs = 0, maxBatchBytes = 0, serverLimitBytes = 0, concurrency = 0 } = options;
  if (docs.length === 0) violation(`request ${number} is empty`);
  if (docs.length > maxBatchDocs) violation(`request ${number} has ${docs.length} documents of ${maxBatchDocs}`);
  if (docs.length > 1 && bytes > maxBatchBytes) violation(`request ${number} has ${bytes} bytes of ${maxBatchBytes}`);
  if (bytes > serverLimitBytes) violation(`request ${number} has ${bytes} bytes; the server takes ${serverLimitBytes}`);
  const sameLane = [...open].filter((one) => one.commit === commit).length;
  const limit = commit === null ? mostOf(concurrency) : MOST_COMMITS;
  if (sameLane > limit) violation(`${sameLane} requests in flight of ${limit}`);
  // A request whose headers were being asked for may have begun before the pause was known.
  const isPaused = pauses.some(({ fromMs, untilMs }) => fromMs < dispatchedAtMs && dispatchedAtMs < untilMs);
  if (isPaused && authMs < 0) violation(`request ${number} within a pause`);
}

function mostOf(concurrency: unknown): number {
  return typeof concurrency === 'number' ? concurrency : (concurrency as { readonly max: number }).max;
}
