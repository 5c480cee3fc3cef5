import {
  describeError,
  type ListenerState,
  systemClock,
  type TimeoutRegistry,
  type TypedEvents,
} from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import type { StreamDatabase } from '../connecting/stream-database.js';
import type { PgStreamEvents } from '../pg-stream.events.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import type { StreamFacts } from '../operating/stream-health.js';
import { StreamUnavailableError } from '../pg-stream.errors.js';
import { ServerClock } from './server-clock.js';
import { StreamHints } from './stream-hints.js';
import { StreamPoller } from './stream-poller.js';
import { channelOf } from './topic.js';
import { WatchedStreams } from './watched-streams.js';

/**
 * Makes sure that whoever waits for a stream looks again soon after it has moved: hints make it soon, the poll makes it sure.
 *
 * After each connect of the listener, and after each loss, one look at everything follows at once.
 */
export class StreamWaking {
  readonly watched = new WatchedStreams((writtenAt) => this.delivered(writtenAt));
  readonly hints: StreamHints;
  readonly poller: StreamPoller;
  private readonly serverClock = new ServerClock(systemClock);
  private readonly logger: Logger;
  private connects = 0;
  private isLossLogged = false;
  private isPollFailureLogged = false;

  constructor(
    instance: string,
    database: StreamDatabase,
    private readonly options: ResolvedPgStreamOptions,
    private readonly events: TypedEvents<PgStreamEvents>,
    private readonly metrics: PgStreamMetrics,
    registry: TimeoutRegistry | undefined,
  ) {
    this.logger = new Logger(`PgStream:${instance}`);
    this.hints = new StreamHints({
      hints: options.hints,
      notify: options.notify,
      channel: channelOf(options.schema),
      database,
      createListenClient: () => database.createListenClient(),
      watched: this.watched,
      lookNow: () => this.poller.lookNow('notification'),
      onListening: () => this.listening(),
      onLost: (error) => this.lost(error),
      onNotifyFailed: (error) => this.notifyFailed(error),
      serverClock: this.serverClock,
      metrics,
    });
    this.poller = new StreamPoller({
      name: `baton:pg-stream:${instance}:poll`,
      database,
      schema: options.schema,
      watched: this.watched,
      pollIntervalMs: options.pollIntervalMs,
      isListening: () => this.hints.isProven,
      registry,
      onError: (error) => this.pollFailed(error),
      serverClock: this.serverClock,
      metrics,
    });
  }

  get isListening(): boolean {
    return this.hints.state === 'listening';
  }

  get facts(): StreamFacts {
    const { hints, isListening, listenerState, poller } = this;
    const missing = hints.isDeaf ? 'deaf' : 'lost';
    const listener = isListening ? 'listening' : listenerState === 'off' ? 'off' : missing;
    return { listener, isPollWorking: poller.isWorking };
  }

  /** How often LISTEN had to be made anew. */
  get reconnects(): number {
    return Math.max(0, this.connects - 1);
  }

  get listenerState(): ListenerState | 'off' {
    return this.hints.state;
  }

  /** @throws StreamUnavailableError when LISTEN is required and cannot be had. */
  async start(): Promise<void> {
    const listening = this.hints.start();
    this.poller.loop.start();
    if (this.options.startup === 'degrade') return void listening.catch(() => undefined); // lost() has told
    try {
      await listening;
    } catch (error) {
      throw new StreamUnavailableError(
        `PgStreamModule cannot LISTEN (${describeError(error)}): point listenConnectionString (BATON_PG_STREAM_LISTEN_CONNECTION_STRING) ` +
          `to Postgres itself and not to a pooler, or set startup: 'degrade' to begin on polling.`,
        { cause: error },
      );
    }
  }

  /** Nothing is woken any more. Other processes are still told of appends. */
  async stopWaking(): Promise<void> {
    await Promise.all([this.poller.loop.stop(), this.hints.stopListening()]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.stopWaking(), this.hints.stopNotifying()]);
  }

  private delivered(writtenAt: Date): void {
    const lagMs = this.serverClock.since(writtenAt);
    if (lagMs !== undefined) this.metrics.record('delivery.lag', lagMs / 1_000);
  }

  private listening(): void {
    this.connects++;
    this.isLossLogged = false;
    if (this.connects > 1) {
      this.logger.log('LISTEN is active again', { reconnects: this.reconnects });
      this.metrics.add('listener.reconnects', 1);
    }
    this.poller.lookNow(this.connects > 1 ? 'reconnect' : 'poll');
    this.events.emit('listening', { reconnects: this.reconnects });
  }

  private lost(error: unknown): void {
    if (!this.isLossLogged)
      this.logger.warn('LISTEN is lost; streams are polled until it is back', { error: describeError(error) });
    this.isLossLogged = true;
    this.metrics.add('listener.losses', 1);
    // The interval is shorter now, and is asked for after a look.
    this.poller.loop.notify();
    this.events.emit('listenerLost', { error });
  }

  private notifyFailed(error: unknown): void {
    this.logger.debug('a NOTIFY was not sent; the poll of other processes finds what it would have told', {
      error: describeError(error),
    });
    this.metrics.add('notifications.failed', 1);
  }

  private pollFailed(error: unknown): void {
    if (!this.isPollFailureLogged)
      this.logger.warn('a look at the waiting streams failed; the next one follows', { error: describeError(error) });
    this.isPollFailureLogged = true;
    this.metrics.add('poll.failures', 1);
    this.events.emit('pollFailed', { error });
  }
}
