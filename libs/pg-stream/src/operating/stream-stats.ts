import type { ListenerState } from '@nest-baton/core';

/** Counted since the start of the process. */
export interface PgStreamStats {
  /** `off` with `hints: 'off'`. */
  readonly listener: ListenerState | 'off';
  readonly reconnects: number;
  /** Readers that have begun and not ended, SSE responses among them. */
  readonly readers: number;
  readonly sseResponses: number;
  /** Streams that have a reader, and those of them for which at least one waits. */
  readonly watchedStreams: number;
  readonly waitingStreams: number;
  /** Queries of readers, and of the poll. */
  readonly slicesRead: number;
  readonly pollQueries: number;
  readonly notificationsSent: number;
  readonly notificationsReceived: number;
}
