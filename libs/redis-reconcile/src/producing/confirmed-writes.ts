import type { Redis } from 'ioredis';
import type { ConnectionSource } from '../connecting/connection-source.js';
import { describesReply, type Partition, type Send } from '../partitions/partition.js';

/** What a write came to, and how many replicas have it. */
export interface ConfirmedWrite {
  readonly answer: unknown;
  readonly replicas: number;
}

/**
 * Writes that replicas are waited for.
 *
 * - Over connections of their own, one for a partition: WAIT holds up everything behind it, renewals too, and counts what its own connection
 *   wrote. A connection that broke is never used again, so that no WAIT speaks for writes that were not sent over it.
 */
export class ConfirmedWrites {
  private readonly connections = new Map<Partition, Promise<Redis>>();
  private isClosed = false;

  constructor(
    private readonly source: ConnectionSource,
    private readonly timeoutMs: number,
  ) {}

  /** @throws RedisUnavailableError: it may have been written. */
  write(partition: Partition, replicas: number, send: Send): Promise<ConfirmedWrite> {
    // Twice: the write may take as long as any, and WAIT as long again.
    return partition.link.call(() => this.over(partition, replicas, send), 2 * this.timeoutMs);
  }

  close(): void {
    this.isClosed = true;
    for (const connection of this.connections.values())
      connection.then(
        (redis) => redis.disconnect(),
        () => undefined,
      );
    this.connections.clear();
  }

  private async over(partition: Partition, replicas: number, send: Send): Promise<ConfirmedWrite> {
    const redis = await this.connected(partition);
    try {
      return await this.both(redis, replicas, send, true);
    } catch (error) {
      if (describesReply(error, 'NOSCRIPT')) return this.both(redis, replicas, send, false);
      this.drop(partition, redis);
      throw error;
    }
  }

  /** Both go out in one piece: nothing can come between them on this connection. */
  private async both(redis: Redis, replicas: number, send: Send, isKnown: boolean): Promise<ConfirmedWrite> {
    const [answer, confirmed] = await Promise.all([send(redis, isKnown), redis.wait(replicas, this.timeoutMs)]);
    return { answer, replicas: confirmed };
  }

  private connected(partition: Partition): Promise<Redis> {
    if (this.isClosed) return Promise.reject(new Error('the connection was closed'));
    const known = this.connections.get(partition);
    if (known !== undefined) return known;
    const connecting = this.connect(partition);
    this.connections.set(partition, connecting);
    connecting.catch(() => this.forget(partition, connecting));
    return connecting;
  }

  private async connect(partition: Partition): Promise<Redis> {
    const redis = await this.source.dedicated(partition.keys.stream);
    await redis.connect();
    redis.once('end', () => this.drop(partition, redis));
    return redis;
  }

  private drop(partition: Partition, redis: Redis): void {
    redis.disconnect();
    const known = this.connections.get(partition);
    known?.then(
      (current) => current === redis && this.forget(partition, known),
      () => undefined,
    );
  }

  private forget(partition: Partition, connection: Promise<Redis>): void {
    if (this.connections.get(partition) === connection) this.connections.delete(partition);
  }
}
