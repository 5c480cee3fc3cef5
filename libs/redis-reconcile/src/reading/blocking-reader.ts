import type { Redis } from 'ioredis';
import type { ConnectionSource } from '../connecting/connection-source.js';
import { OWNERS_GROUP } from '../scripts/script.js';

export type RawEntry = readonly [id: string, fields: readonly string[] | null];

/** Where fewer slots are left than there are partitions, these take turns of this length. */
const HURRIED_BLOCK_MS = 100;

/**
 * Blocking reads over a connection of their own.
 *
 * - A read settles within `blockMs` plus the command timeout: one that does not is taken for wedged, and its connection is thrown away.
 * - After any failure the next read uses a new connection, so nothing is ever resent behind our back.
 */
export class BlockingReader {
  private redis: Redis | undefined;
  private clientId: number | undefined;

  constructor(
    private readonly source: ConnectionSource,
    private readonly stream: string,
    private readonly consumer: string,
    private readonly blockMs: number,
    private readonly commandTimeoutMs: number,
  ) {}

  /** Parks until an entry comes, at most `blockMs`. `isHurried`: others wait for the slot, so not for long. */
  async readOne(isHurried = false): Promise<RawEntry[]> {
    return this.read(1, isHurried ? Math.min(this.blockMs, HURRIED_BLOCK_MS) : this.blockMs);
  }

  /** Takes what is there. */
  async readNow(count: number): Promise<RawEntry[]> {
    return this.read(count, undefined);
  }

  /** Ends a parked read from outside, if there is one. @throws what says that this could not be done. */
  async unblock(): Promise<void> {
    const { redis, clientId } = this;
    if (redis === undefined || clientId === undefined) return;
    // Ids are the server's own: another one would have another client under this number.
    await this.watched(this.source.beside(redis).client('UNBLOCK', clientId), this.commandTimeoutMs);
  }

  close(): void {
    this.clientId = undefined;
    this.redis?.disconnect();
    this.redis = undefined;
  }

  private async read(count: number, blockMs: number | undefined): Promise<RawEntry[]> {
    const redis = await this.connected();
    const block: (string | number)[] = blockMs === undefined ? [] : ['BLOCK', blockMs];
    const command = ['GROUP', OWNERS_GROUP, this.consumer, 'COUNT', count, ...block, 'STREAMS', this.stream, '>'];
    const reply = await this.watched(redis.call('XREADGROUP', ...command), (blockMs ?? 0) + this.commandTimeoutMs);
    return toEntries(reply);
  }

  private async connected(): Promise<Redis> {
    if (this.redis?.status === 'ready') return this.redis;
    this.close();
    const redis = (this.redis = await this.watched(this.source.dedicated(this.stream), this.commandTimeoutMs));
    await this.watched(redis.connect(), this.commandTimeoutMs);
    this.clientId = await this.watched(redis.client('ID'), this.commandTimeoutMs);
    return redis;
  }

  private async watched<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`a read did not return within ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      return await Promise.race([promise, late]);
    } catch (error) {
      promise.catch(() => undefined);
      this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** RESP2 answers a list of [stream, entries], RESP3 a map, which some drivers hand over as an object. */
function toEntries(reply: unknown): RawEntry[] {
  if (reply === null || reply === undefined) return [];
  const streams = Array.isArray(reply) ? (reply as [string, RawEntry[]][]) : Object.entries(reply);
  return streams.flatMap(([, entries]) => entries as RawEntry[]);
}
