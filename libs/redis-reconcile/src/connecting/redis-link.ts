import { type Clock, describeError } from '@nest-baton/core';
import type { Redis } from 'ioredis';
import { RedisUnavailableError } from '../redis-reconcile.errors.js';
import type { Script } from '../scripts/script.js';
import type { ConnectionSource } from './connection-source.js';

/** Replies of a server that is there but cannot take this command now. */
const PASSING_REPLIES = /^(?:LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|BUSY|UNBLOCKED|MISCONF|NOREPLICAS)\b/;

/**
 * The connection for commands, reconnecting by itself.
 *
 * - Every call settles within the command timeout: a command is sent only while connected (it waits that long for the connection), and never
 *   sent twice. After a rejection with `REDIS_UNAVAILABLE` it may or may not have been executed.
 * - An error reply of the server that time does not heal is thrown as it is.
 * - `onGap` runs when commands work again after some did not: leases may have lapsed unseen meanwhile.
 */
export class RedisLink {
  private readonly redis: Redis;
  private readonly gapListeners = new Set<() => void>();
  /** Calls that wait for the connection. */
  private readonly waiting = new Set<() => void>();
  private failedSince: number | undefined;
  private isClosed = false;

  constructor(
    private readonly source: ConnectionSource,
    private readonly timeoutMs: number,
    private readonly clock: Clock,
  ) {
    this.redis = source.commands();
    // One for all calls: in an outage each would add its own, and Node would warn of a leak.
    this.redis.on('ready', () => {
      for (const resume of this.waiting) resume();
    });
  }

  /** False from the first command that failed for a reason of the connection's until the next that works. */
  get isAvailable(): boolean {
    return this.failedSince === undefined && !this.isClosed;
  }

  /** @throws RedisUnavailableError when the server does not answer within the command timeout. */
  async connect(): Promise<void> {
    await this.call((redis) => redis.ping());
  }

  onGap(listener: () => void): void {
    this.gapListeners.add(listener);
  }

  async call<T>(command: (redis: Redis) => Promise<T>, timeoutMs = this.timeoutMs): Promise<T> {
    try {
      const startedMs = this.clock.monotonic();
      await this.ready(timeoutMs);
      const restMs = Math.max(0, timeoutMs - (this.clock.monotonic() - startedMs));
      const result = await this.bounded(command(this.redis), restMs, timeoutMs);
      this.succeeded();
      return result;
    } catch (error) {
      throw this.explain(error);
    }
  }

  /** Runs a script by its hash; sends the text only to a server that does not know it yet. */
  async script(
    { sha, text }: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    timeoutMs?: number,
  ): Promise<unknown> {
    const parameters = [...keys, ...args];
    try {
      return await this.call((redis) => redis.evalsha(sha, keys.length, ...parameters), timeoutMs);
    } catch (error) {
      if (!(error as { message?: string }).message?.startsWith('NOSCRIPT')) throw error;
      return this.call((redis) => redis.eval(text, keys.length, ...parameters), timeoutMs);
    }
  }

  close(): void {
    this.isClosed = true;
    this.redis.disconnect();
  }

  private async ready(timeoutMs: number): Promise<void> {
    if (this.redis.status === 'ready') return;
    if (this.isClosed) throw new Error('the connection was closed');
    if (this.redis.status === 'wait') this.redis.connect().catch(() => undefined);
    let resume: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => this.waiting.add((resume = resolve)));
    try {
      await this.bounded(ready, timeoutMs);
    } finally {
      this.waiting.delete(resume);
    }
  }

  private async bounded<T>(promise: Promise<T>, restMs: number, timeoutMs = restMs): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), restMs);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
      promise.catch(() => undefined);
    }
  }

  private succeeded(): void {
    if (this.failedSince === undefined) return;
    this.failedSince = undefined;
    for (const listener of this.gapListeners) listener();
  }

  private explain(error: unknown): unknown {
    const { name, message } = (error ?? {}) as { name?: string; message?: string };
    const isReply = name === 'ReplyError' && !PASSING_REPLIES.test(message ?? '');
    if (isReply) {
      this.succeeded();
      return error;
    }
    this.failedSince ??= this.clock.monotonic();
    return new RedisUnavailableError(
      `Redis at ${this.source.address} did not take a command (${describeError(error)}): is it running and reachable? Set connection.url (BATON_REDIS_URL or BATON_REDIS_RECONCILE_URL) if it is elsewhere.`,
      { cause: error },
    );
  }
}
