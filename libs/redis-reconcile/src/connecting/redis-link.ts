import { type Clock, describeError } from '@nest-baton/core';
import type { RedisCommander } from 'ioredis';
import { typedReply } from './typed-reply.js';
import { RedisUnavailableError } from '../redis-reconcile.errors.js';
import type { Script } from '../scripts/script.js';
import { bounded, type CommandConnection } from './command-connection.js';

/** Replies of a server that is there but cannot take this command now, or is not the one any more that could. */
const PASSING_REPLIES =
  /^(?:LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|MOVED|ASK|BUSY|UNBLOCKED|MISCONF|NOREPLICAS)\b/;

/**
 * Commands over the instance's connection, and whether they work: one for each master's share of a cluster, one for all of a single node.
 *
 * - Every call settles within the command timeout: a command is sent only while connected (it waits that long for the connection), and never
 *   sent again where it may have been executed. After a rejection with `REDIS_UNAVAILABLE` it may or may not have been executed.
 * - An error reply of the server that time does not heal is thrown as it is.
 * - `onGap` runs when commands work again after some did not: leases may have lapsed unseen meanwhile.
 */
export class RedisLink {
  private readonly gapListeners = new Set<() => void>();
  private failedSince: number | undefined;

  constructor(
    private readonly connection: CommandConnection,
    private readonly timeoutMs: number,
    private readonly clock: Clock,
    private readonly client: RedisCommander = connection.client,
  ) {}

  /** False from the first command that failed for a reason of the connection's until the next that works. */
  get isAvailable(): boolean {
    return this.failedSince === undefined && !this.connection.isClosed;
  }

  /** @throws RedisUnavailableError when the server does not answer within the command timeout. */
  async connect(): Promise<void> {
    await this.call((redis) => redis.ping());
  }

  onGap(listener: () => void): void {
    this.gapListeners.add(listener);
  }

  async call<T>(command: (redis: RedisCommander) => Promise<T>, timeoutMs = this.timeoutMs): Promise<T> {
    try {
      const startedMs = this.clock.monotonic();
      await this.connection.ready(timeoutMs);
      const restMs = Math.max(0, timeoutMs - (this.clock.monotonic() - startedMs));
      const result = await bounded(command(this.client), restMs, timeoutMs);
      this.succeeded();
      return result;
    } catch (error) {
      throw this.explain(error);
    }
  }

  /** Runs a script by its hash; sends the text only to a server that does not know it yet. `isBinary`: strings come as buffers. */
  async script(
    { sha, text }: Script,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
    { timeoutMs, isBinary = false }: { readonly timeoutMs?: number; readonly isBinary?: boolean } = {},
  ): Promise<unknown> {
    const parameters = [keys.length, ...keys, ...args];
    const send = (command: 'evalsha' | 'eval', script: string) =>
      this.call(
        (redis) =>
          isBinary ? redis.callBuffer(command, script, ...parameters) : redis.call(command, script, ...parameters),
        timeoutMs,
      );
    try {
      return await send('evalsha', sha);
    } catch (error) {
      if (!(error as { message?: string }).message?.startsWith('NOSCRIPT')) throw error;
      return send('eval', text);
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
      return typedReply(error);
    }
    const { source } = this.connection;
    this.failedSince ??= this.clock.monotonic();
    source.suspect();
    const problem = source.lastProblem === undefined ? '' : `; ${source.lastProblem}`;
    return new RedisUnavailableError(
      `Redis at ${source.address} did not take a command (${describeError(error)}${problem}): is it running and reachable? Set ${source.setting} if it is elsewhere.`,
      { cause: error },
    );
  }
}
