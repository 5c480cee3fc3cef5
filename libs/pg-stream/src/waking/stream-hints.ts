import {
  CoalescedNotifier,
  decodeTopics,
  encodeTopics,
  type ListenClient,
  type ListenerState,
  type Queryable,
  randomToken,
  SelfHealingListener,
} from '@nest-baton/core';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import { topicOf } from './topic.js';
import type { WatchedStreams } from './watched-streams.js';

/** `pg_notify` refuses 8 000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_999;

const SEPARATOR = ':';

export interface StreamHintsOptions {
  readonly hints: 'on' | 'off';
  readonly notify: 'coalesced' | 'off';
  readonly channel: string;
  readonly database: Queryable;
  readonly createListenClient: () => ListenClient;
  readonly watched: WatchedStreams;
  /** Look at everything that is waited for. */
  readonly lookNow: () => void;
  readonly onListening: () => void;
  readonly onLost: (error: unknown) => void;
  readonly onNotifyFailed: (error: unknown) => void;
  readonly metrics: PgStreamMetrics;
}

/**
 * Everything that makes a reader hear of an append sooner than the poll: wake-ups in the process, NOTIFY to other processes, LISTEN from
 * them. All of it may be lost, repeated or forged; with `hints: 'off'` none of it exists.
 *
 * A payload begins with the process that sent it, so that it does not wake its own readers a second time; a payload without one is from
 * inside a transaction, whose process has not woken anybody.
 */
export class StreamHints {
  private readonly sender = randomToken(8);
  private readonly listener: SelfHealingListener | undefined;
  private readonly notifier: CoalescedNotifier | undefined;
  private received = 0;
  private sent = 0;

  constructor(private readonly options: StreamHintsOptions) {
    if (options.hints === 'off') return;
    this.listener = new SelfHealingListener({
      createClient: options.createListenClient,
      channel: options.channel,
      onNotification: (payload) => this.hear(payload),
      onListening: options.onListening,
      onLost: options.onLost,
    });
    if (options.notify === 'off') return;
    this.notifier = new CoalescedNotifier({
      send: (payload) => this.send(payload),
      onError: options.onNotifyFailed,
    });
  }

  get state(): ListenerState | 'off' {
    return this.listener?.state ?? 'off';
  }

  get notificationsReceived(): number {
    return this.received;
  }

  get notificationsSent(): number {
    return this.sent;
  }

  /** Resolves when LISTEN is active. Rejects when the first attempt failed; attempts go on until `stop()`. */
  start(): Promise<void> {
    return this.listener?.start() ?? Promise.resolve();
  }

  /** A commit has moved the stream. Never waits, never throws. */
  moved(stream: string): void {
    if (this.listener === undefined) return;
    const topic = topicOf(stream);
    this.options.watched.wakeTopic(topic);
    this.notifier?.notify(topic);
  }

  /** The same for a transaction whose commit nobody tells us of: Postgres sends it with the commit, and forgets it with a rollback. */
  async movedIn(transaction: Queryable, stream: string): Promise<void> {
    if (this.notifier === undefined) return;
    const payload = SEPARATOR + encodeTopics([topicOf(stream)]);
    await transaction.query('SELECT pg_notify($1, $2)', [this.options.channel, payload]);
  }

  async stopListening(): Promise<void> {
    await this.listener?.stop();
  }

  async stopNotifying(): Promise<void> {
    await this.notifier?.stop();
  }

  private hear(payload: string): void {
    this.received++;
    this.options.metrics.add('notifications.received', 1);
    const end = payload.indexOf(SEPARATOR);
    if (payload.slice(0, end) === this.sender) return;
    const topics = decodeTopics(payload.slice(end + 1));
    if (topics === '*') this.options.lookNow();
    else for (const topic of topics) this.options.watched.wakeTopic(topic);
  }

  /** The commit of a NOTIFY holds a lock that is global to the server, so it does not wait for the disk: a hint may be lost in a crash. */
  private async send(topics: string): Promise<void> {
    const prefix = this.sender + SEPARATOR;
    const payload = Buffer.byteLength(prefix + topics) <= MAX_PAYLOAD_BYTES ? prefix + topics : `${prefix}*`;
    await this.options.database.query(`SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, [
      this.options.channel,
      payload,
    ]);
    this.sent++;
    this.options.metrics.add('notifications.sent', 1);
  }
}
