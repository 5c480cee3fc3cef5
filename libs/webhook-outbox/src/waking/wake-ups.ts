import { createHash } from 'node:crypto';
import { CoalescedNotifier, describeError, SelfHealingListener } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import pg from 'pg';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';

const CONNECT_TIMEOUT_MS = 5_000;
const ECHO_TIMEOUT_MS = 3_000;

export interface WakeUpHooks {
  /** LISTEN is active, `reconnects` times after a loss. */
  readonly onListening: (reconnects: number) => void;
  readonly onListenerLost: (error: unknown) => void;
}

/**
 * Tells relays that something was committed: the own one at once, those of other processes by NOTIFY. All of it may be lost, since each
 * relay polls; with `hints: 'off'` none of it happens.
 *
 * NOTIFY leaves after the commit, coalesced, on a connection of the pool: inside the producing transaction it would take a lock that is
 * global to the database until the commit.
 */
export class WakeUps {
  private readonly selfHealing: SelfHealingListener | undefined;
  private timesListening = 0;
  private readonly notifier: CoalescedNotifier | undefined;

  constructor(
    options: ResolvedWebhookOutboxOptions,
    database: OutboxDatabase,
    private readonly onDue: () => void,
    private readonly logger: Logger,
    private readonly hooks: WakeUpHooks,
  ) {
    // Where a queue says what to send, nobody waits for a hint.
    if (options.hints === 'off' || options.dispatch === 'queue') return;
    const channel = channelOf(options.schema);
    const send = async (payload: string): Promise<void> =>
      void (await database.query('SELECT pg_notify($1, $2)', [channel, payload]));
    this.notifier = new CoalescedNotifier({
      send,
      onError: (error) => logger.debug('NOTIFY failed; other relays find the event by their poll', shown(error)),
    });
    const { listenConnectionString, role } = options;
    if (listenConnectionString !== undefined && role !== 'producer')
      this.selfHealing = this.createListener(listenConnectionString, channel, send);
  }

  /** `off`: no listener was asked for. */
  get listener(): 'off' | 'listening' | 'lost' {
    if (this.selfHealing === undefined) return 'off';
    return this.selfHealing.state === 'listening' ? 'listening' : 'lost';
  }

  /** An event of this process is visible to every connection. */
  committed(): void {
    if (this.notifier === undefined) return;
    this.onDue();
    this.notifier.notify('due');
  }

  start(): void {
    // The first attempt failing is no reason not to start: the listener goes on trying, and the relay polls.
    this.selfHealing?.start().catch(() => undefined);
  }

  async stopListening(): Promise<void> {
    await this.selfHealing?.stop();
  }

  async stop(): Promise<void> {
    await this.selfHealing?.stop();
    await this.notifier?.stop();
  }

  private createListener(
    connectionString: string,
    channel: string,
    send: (payload: string) => Promise<void>,
  ): SelfHealingListener {
    return new SelfHealingListener({
      createClient: () =>
        new pg.Client({
          connectionString,
          keepAlive: true,
          connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
          application_name: 'baton-webhook-outbox-listen',
        }),
      channel,
      onNotification: () => this.onDue(),
      // Whatever was announced while nobody listened is looked for now.
      onListening: () => {
        this.onDue();
        this.hooks.onListening(this.timesListening++);
      },
      onLost: this.hooks.onListenerLost,
      echo: { send: (payload) => within(ECHO_TIMEOUT_MS, send(payload)) },
    });
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  await Promise.race([work, over]).finally(() => clearTimeout(timer));
}

/** Hashed, since a channel's name is cut after 63 bytes. */
export function channelOf(schema: string): string {
  return `baton_webhook_outbox_${createHash('sha256').update(schema).digest('hex').slice(0, 16)}`;
}

function shown(error: unknown): { readonly error: string } {
  return { error: describeError(error) };
}
