import { setImmediate as endOfTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  CoalescedNotifier,
  decodeTopics,
  encodeTopics,
  type ListenClient,
  type ListenerState,
  type Queryable,
  randomToken,
  SelfHealingListener,
  systemClock,
} from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import { NotifyConnection } from './notify-connection.js';
import { NotifyPace } from './notify-pace.js';
import type { ServerClock } from './server-clock.js';
import { topicOf } from './topic.js';
import type { Landed, WatchedStreams } from './watched-streams.js';

/** `pg_notify` refuses 8 000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_999;

const SEPARATOR = ':';

export interface StreamHintsOptions {
  readonly hints: 'on' | 'off';
  readonly notify: 'coalesced' | 'transactional' | 'off';
  readonly channel: string;
  readonly database: StreamDatabase;
  readonly createListenClient: () => ListenClient;
  readonly watched: WatchedStreams;
  /** Look at everything that is waited for. */
  readonly lookNow: () => void;
  readonly onListening: () => void;
  readonly onLost: (error: unknown) => void;
  readonly onNotifyFailed: (error: unknown) => void;
  readonly serverClock: ServerClock;
  readonly metrics: PgStreamMetrics;
}

/** A NOTIFY to be sent inside of a transaction. */
export interface Announcement {
  readonly channel: string;
  readonly payload: string;
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
  private readonly connection: NotifyConnection | undefined;
  private readonly pace = new NotifyPace(systemClock);
  private received = 0;
  private sent = 0;

  constructor(private readonly options: StreamHintsOptions) {
    if (options.hints === 'off') return;
    const connection = (this.connection = new NotifyConnection(
      options.database,
      options.metrics,
      options.channel,
      options.serverClock,
    ));
    this.listener = new SelfHealingListener({
      createClient: options.createListenClient,
      channel: options.channel,
      onNotification: (payload) => this.hear(payload),
      onListening: options.onListening,
      onLost: options.onLost,
      echo: {
        send: (payload) => connection.send(payload),
        onEcho: (afterMs) => options.metrics.record('listener.echo.duration', afterMs / 1_000),
      },
    });
    if (options.notify === 'off') return;
    this.notifier = new CoalescedNotifier({
      send: (payload) => this.send(connection, payload),
      onError: options.onNotifyFailed,
    });
  }

  get state(): ListenerState | 'off' {
    return this.listener?.state ?? 'off';
  }

  /** Whether hints arrive, as far as can be known. */
  get isProven(): boolean {
    return this.listener?.isProven ?? false;
  }

  /** LISTEN connects and hears nothing. */
  get isDeaf(): boolean {
    return this.listener?.isDeaf ?? false;
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

  /** An append or a close is committed; with `notify: 'transactional'` the others have been told with it. Never waits, never throws. */
  appended(stream: string, landed?: Landed): void {
    this.wakeHere(stream, landed);
    if (this.options.notify !== 'transactional') this.notifier?.notify(topicOf(stream));
  }

  /** A commit has moved the stream. Never waits, never throws. */
  moved(stream: string): void {
    this.wakeHere(stream);
    this.notifier?.notify(topicOf(stream));
  }

  /** With `notify: 'transactional'`: what the statement that appends to the streams sends along, and its commit with it. */
  announcementOf(streams: readonly string[]): Announcement | undefined {
    const { notify, channel, metrics } = this.options;
    if (this.listener === undefined || notify !== 'transactional') return undefined;
    this.sent++;
    metrics.add('notifications.sent', 1);
    return { channel, payload: this.payloadOf(encodeTopics([...new Set(streams.map(topicOf))])) };
  }

  /** The same for a transaction whose commit nobody tells us of: Postgres sends it with the commit, and forgets it with a rollback. */
  async movedIn(transaction: Queryable, stream: string): Promise<void> {
    if (this.listener === undefined || this.options.notify === 'off') return;
    const payload = SEPARATOR + encodeTopics([topicOf(stream)]);
    await transaction.query('SELECT pg_notify($1, $2)', [this.options.channel, payload]);
  }

  async stopListening(): Promise<void> {
    await this.listener?.stop();
  }

  async stopNotifying(): Promise<void> {
    await this.notifier?.stop();
    this.connection?.close();
  }

  private hear(payload: string): void {
    this.received++;
    this.options.metrics.add('notifications.received', 1);
    const end = payload.indexOf(SEPARATOR);
    if (payload.slice(0, end) === this.sender) return;
    const topics = decodeTopics(payload.slice(end + 1));
    if (topics === '*') this.options.lookNow();
    else for (const topic of topics) this.woken(this.options.watched.wakeTopic(topic), 'notification');
  }

  private wakeHere(stream: string, landed?: Landed): void {
    if (this.listener !== undefined) this.woken(this.options.watched.wakeStream(stream, landed), 'local');
  }

  private woken(streams: number, how: 'local' | 'notification'): void {
    if (streams > 0) this.options.metrics.add('streams.woken', streams, how);
  }

  private payloadOf(topics: string): string {
    const prefix = this.sender + SEPARATOR;
    return Buffer.byteLength(prefix + topics) <= MAX_PAYLOAD_BYTES ? prefix + topics : `${prefix}*`;
  }

  private async send(connection: NotifyConnection, topics: string): Promise<void> {
    // Whoever was answered by the same commit sends his next append before it.
    await endOfTurn();
    await connection.send(this.payloadOf(topics));
    this.sent++;
    this.options.metrics.add('notifications.sent', 1);
    // Until this returns, what moves is gathered for the next one.
    const waitMs = this.pace.spend();
    if (waitMs > 0) await sleep(waitMs);
  }
}
