import { backoffDelay, describeError, type Random } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { Redis, RedisCommander } from 'ioredis';
import { bounded } from '../connecting/command-connection.js';
import { expiryPattern, type ListenedTo, parseExpiryChannel } from './expiry-channel.js';
import { coversExpiry, mergeFlags } from './keyspace-flags.js';

const RETRY = { baseMs: 250, factor: 2, capMs: 5000, jitter: 'equal' } as const;

/** A server that expires keys: only it tells of them. */
export interface EventsMaster {
  /** Unique among those that are listened to. */
  readonly id: string;
  /** What an operator calls it. */
  readonly name: string;
  /** For a subscription, not connected yet. @throws Error while it cannot be reached. */
  dedicated(): Promise<Redis>;
  /** A command to this very server. */
  call<T>(command: (redis: RedisCommander) => Promise<T>): Promise<T>;
}

export interface ExpirySubscriptionOptions extends ListenedTo {
  readonly master: EventsMaster;
  readonly mode: 'auto' | 'require' | 'verify';
  readonly commandTimeoutMs: number;
  readonly random: Random;
  readonly logger: Logger;
  readonly onExpired: (partition: number, dataStream: string) => void;
  /** `isCovered` or `reason` may be another. */
  readonly onChange: () => void;
}

/**
 * Listens to one master for leases that expire: a hint, never needed.
 *
 * - Resolves `start()` only when the server has confirmed the subscription, or cannot be subscribed to for now.
 * - Merges the flags it needs into the server's, in modes `auto` and `require` only. Where CONFIG is forbidden it listens all the same but does not count as covered.
 * - Subscribes again after any failure, for ever; not covered meanwhile.
 */
export class ExpirySubscription {
  private redis: Redis | undefined;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;
  private isStopped = false;
  private isSubscribed = false;
  private flagsReason = 'not subscribed yet';

  constructor(private readonly options: ExpirySubscriptionOptions) {}

  get isCovered(): boolean {
    return this.reason === '';
  }

  /** Why it is not covered, or empty. */
  get reason(): string {
    return this.isSubscribed ? this.flagsReason : 'the subscription is down';
  }

  async start(): Promise<void> {
    if (this.isStopped) return;
    await this.subscribe();
    await this.checkFlags();
  }

  /** Another client may have changed the flags since, and the connection may be dead without a word. Never throws. */
  async check(): Promise<void> {
    const { redis } = this;
    if (redis !== undefined && this.isSubscribed)
      await bounded(redis.ping(), this.options.commandTimeoutMs).catch(() => redis.disconnect());
    await this.checkFlags();
  }

  stop(): void {
    this.isStopped = true;
    this.isSubscribed = false;
    clearTimeout(this.retry);
    this.redis?.disconnect();
  }

  private async checkFlags(): Promise<void> {
    if (this.isStopped) return;
    try {
      this.flagsReason = await this.ensureFlags();
    } catch (error) {
      this.flagsReason = `the server does not let us see notify-keyspace-events (${describeError(error)})`;
    }
    this.options.onChange();
  }

  /** Empty when the flags cover expiry. */
  private async ensureFlags(): Promise<string> {
    const { master, mode } = this.options;
    const flags = await this.readFlags();
    if (coversExpiry(flags)) return '';
    if (mode === 'verify') return `notify-keyspace-events is '${flags}' and does not contain Kx`;
    await master.call((redis) => redis.config('SET', 'notify-keyspace-events', mergeFlags(flags)));
    return coversExpiry(await this.readFlags()) ? '' : 'the server did not take notify-keyspace-events';
  }

  private async readFlags(): Promise<string> {
    const reply = await this.options.master.call((redis) => redis.config('GET', 'notify-keyspace-events'));
    const values: unknown[] = Object.values(reply as object);
    const flags = values.at(-1);
    return typeof flags === 'string' ? flags : '';
  }

  private async subscribe(): Promise<void> {
    const { master, commandTimeoutMs, onChange } = this.options;
    let redis: Redis | undefined;
    try {
      redis = await master.dedicated();
      if (this.isStopped) return;
      this.redis?.disconnect();
      this.redis = redis;
      this.listenTo(redis);
      await bounded(redis.connect(), 2 * commandTimeoutMs);
      await bounded(redis.psubscribe(expiryPattern(this.options)), commandTimeoutMs);
      this.isSubscribed = true;
      this.failures = 0;
      onChange();
    } catch (error) {
      redis?.disconnect();
      if (this.isStopped) return;
      this.options.logger.warn('subscribing to expiry events failed', {
        master: master.name,
        error: describeError(error),
      });
      if (this.redis === redis) this.resubscribe();
    }
  }

  private listenTo(redis: Redis): void {
    const { onExpired } = this.options;
    redis.on('pmessage', (_pattern: string, channel: string, event: string) => {
      if (event !== 'expired') return;
      const lease = parseExpiryChannel(channel, this.options);
      if (lease !== undefined) onExpired(lease.partition, lease.dataStream);
    });
    redis.once('end', () => {
      if (this.redis === redis) this.resubscribe();
    });
  }

  private resubscribe(): void {
    if (this.isStopped) return;
    this.redis = undefined;
    this.isSubscribed = false;
    this.options.onChange();
    this.failures++;
    const delay = backoffDelay(this.failures, RETRY, this.options.random);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.start(), delay);
  }
}
