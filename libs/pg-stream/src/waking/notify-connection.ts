import { type Queryable, systemClock } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { OwnConnection } from '../flushing/own-connection.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ServerClock } from './server-clock.js';

/** A NOTIFY waits for no row. One that is not back by then is worth nothing, and a dead path should be known soon. */
const NOTIFY_TIMEOUT_MS = 3_000;

/**
 * Sends NOTIFYs, one at a time, on a connection of its own, so that they wait neither for a free connection nor for somebody's statement; only with
 * a pool that does not show its options do they take one of that.
 */
export class NotifyConnection {
  private readonly own: OwnConnection | undefined;
  private readonly on: Queryable;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    database: StreamDatabase,
    metrics: PgStreamMetrics,
    private readonly channel: string,
    private readonly serverClock: ServerClock,
  ) {
    if (database.canCreateClients)
      this.own = new OwnConnection({
        createClient: () => database.createWriteClient('notify'),
        timeoutMs: NOTIFY_TIMEOUT_MS,
        metrics,
      });
    this.on = this.own ?? { query: (text, values) => database.query(text, values, NOTIFY_TIMEOUT_MS) };
  }

  /** The commit of a NOTIFY holds a lock that is global to the server, so it does not wait for the disk: a hint may be lost in a crash. */
  send(payload: string): Promise<void> {
    const sent = this.last.then(async () => {
      const askedAt = systemClock.monotonic();
      const { rows } = await this.on.query<{ server_ms: string }>(
        `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2),
                extract(epoch FROM clock_timestamp()) * 1000 AS server_ms`,
        [this.channel, payload],
      );
      this.serverClock.heard(Number(rows[0]?.server_ms), askedAt);
    });
    this.last = sent.catch(() => undefined);
    return sent;
  }

  /** What is under way rejects. */
  close(): void {
    this.own?.close();
  }
}
