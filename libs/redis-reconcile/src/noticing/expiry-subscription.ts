import { backoffDelay, describeError, type Random, ServerUnsupportedError } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { ConnectionSource } from '../connecting/connection-source.js';
import type { RedisLink } from '../connecting/redis-link.js';
import { expiryPattern, parseExpiryChannel } from './expiry-channel.js';
import { coversExpiry, mergeFlags } from './keyspace-flags.js';

const RETRY = { baseMs: 250, factor: 2, capMs: 5000, jitter: 'equal' } as const;

export interface ExpirySubscriptionOptions {
  readonly source: ConnectionSource;
  readonly link: RedisLink;
  readonly service: string;
  readonly mode: 'auto' | 'require' | 'verify' | 'off';
  readonly commandTimeoutMs: number;
  readonly random: Random;
  readonly logger: Logger;
  readonly onExpired: (partition: number, dataStream: string) => void;
  readonly onCoverage: (isCovered: boolean, reason: string) => void;
}

/**
 * Listens for leases that expire: a hint, never needed.
 *
 * - Resolves `start()` only when the server has confirmed the subscription.
 * - Merges the flags it needs into the server's, in modes `auto` and `require` only. Where CONFIG is forbidden it listens all the same but does not count as covered.
 * - Subscribes again after any failure, for ever; not covered meanwhile.
 */
export class ExpirySubscription {
  private redis: Redis | undefined;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;
  private isStopped = false;
  private isSubscribed = false;
  private flagsReason = '';
  private coverage: { readonly isCovered: boolean; readonly reason: string } = {
    isCovered: false,
    reason: 'not subscribed yet',
  };

  constructor(private readonly options: ExpirySubscriptionOptions) {}

  get isCovered(): boolean {
    return this.coverage.isCovered;
  }

  get reason(): string {
    return this.coverage.reason;
  }

  /** @throws ServerUnsupportedError in mode `require` when events cannot be had. */
  async start(): Promise<void> {
    if (this.isStopped) return;
    if (this.options.mode === 'off') return this.decide('expiry events are switched off');
    await this.subscribe();
    await this.checkFlags();
    if (this.isStopped) return;
    if (this.options.mode === 'require' && !this.isCovered)
      throw new ServerUnsupportedError(
        `keyspaceEvents is 'require', but ${this.coverage.reason}: set notify-keyspace-events to contain Kx on the server, or use 'auto'.`,
      );
    if (!this.isCovered)
      this.options.logger.warn('expiry events do not arrive: scanning alone', { reason: this.coverage.reason });
  }

  /** Another client may have changed the flags since. Never throws. */
  async checkFlags(): Promise<void> {
    if (this.options.mode === 'off' || this.isStopped) return;
    try {
      this.flagsReason = await this.ensureFlags();
    } catch (error) {
      this.flagsReason = `the server does not let us see notify-keyspace-events (${describeError(error)})`;
    }
    this.decide();
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.retry);
    this.redis?.disconnect();
  }

  /** Empty when the flags cover expiry. */
  private async ensureFlags(): Promise<string> {
    const { link, mode } = this.options;
    const flags = await this.readFlags();
    if (coversExpiry(flags)) return '';
    if (mode === 'verify') return `notify-keyspace-events is '${flags}' and does not contain Kx`;
    await link.call((redis) => redis.config('SET', 'notify-keyspace-events', mergeFlags(flags)));
    return coversExpiry(await this.readFlags()) ? '' : 'the server did not take notify-keyspace-events';
  }

  private async readFlags(): Promise<string> {
    const reply = await this.options.link.call((redis) => redis.config('GET', 'notify-keyspace-events'));
    const values: unknown[] = Object.values(reply as object);
    const flags = values.at(-1);
    return typeof flags === 'string' ? flags : '';
  }

  private async subscribe(): Promise<void> {
    const { source, service, commandTimeoutMs, onExpired } = this.options;
    const redis = await source.dedicated('');
    if (this.isStopped) return;
    this.redis?.disconnect();
    this.redis = redis;
    redis.on('pmessage', (_pattern: string, channel: string, event: string) => {
      if (event !== 'expired') return;
      const lease = parseExpiryChannel(channel, service, source.database);
      if (lease !== undefined) onExpired(lease.partition, lease.dataStream);
    });
    redis.once('end', () => this.resubscribe(redis));
    try {
      const late = setTimeout(() => redis.disconnect(), 2 * commandTimeoutMs);
      await redis.connect().finally(() => clearTimeout(late));
      await this.confirmed(redis, redis.psubscribe(expiryPattern(service, source.database)));
      this.isSubscribed = true;
      this.failures = 0;
      this.decide();
    } catch (error) {
      redis.disconnect();
      this.options.logger.warn('subscribing to expiry events failed', { error: describeError(error) });
      this.resubscribe(redis);
    }
  }

  private async confirmed(redis: Redis, reply: Promise<unknown>): Promise<void> {
    const late = setTimeout(() => redis.disconnect(), this.options.commandTimeoutMs);
    try {
      await reply;
    } finally {
      clearTimeout(late);
    }
  }

  private resubscribe(lost: Redis): void {
    if (this.isStopped || this.redis !== lost) return;
    this.redis = undefined;
    this.isSubscribed = false;
    this.decide();
    this.failures++;
    const delay = backoffDelay(this.failures, RETRY, this.options.random);
    this.retry = setTimeout(() => void this.subscribe().then(() => this.checkFlags()), delay);
  }

  private decide(off = ''): void {
    const reason = off || (this.isSubscribed ? this.flagsReason : 'the subscription is down');
    const isCovered = reason === '';
    const isNews = isCovered !== this.coverage.isCovered;
    this.coverage = { isCovered, reason };
    if (isNews) this.options.onCoverage(isCovered, reason);
  }
}
