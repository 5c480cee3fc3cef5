import type { INestApplicationContext } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  type FreshDatabase,
  freshDatabase,
  hintsUnderTest,
  type ReceivedWebhook,
  waitFor,
  WebhookReceiver,
} from '@nest-baton/testing';
import {
  type CreatedEndpoint,
  type NewEndpoint,
  WebhookDeliveriesService,
  WebhookEndpointsService,
  WebhookOutboxModule,
  type WebhookOutboxOptions,
  WebhookOutboxService,
} from '@nest-baton/webhook-outbox';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { verifyRequests } from './verified-requests.js';

export const TEST_KEYS = [{ id: 'test', key: Buffer.alloc(32, 7).toString('base64') }];

/** Receivers listen on loopback without TLS; everything is quick. */
export const TEST_OPTIONS: WebhookOutboxOptions = {
  keys: TEST_KEYS,
  hints: hintsUnderTest(),
  allowHttp: true,
  allowAddresses: ['127.0.0.0/8', '::1/128'],
  pollInterval: '100ms',
  schedule: ['100ms', '100ms'],
  shutdownTimeout: '3s',
};

export interface OutboxApp {
  readonly context: INestApplicationContext;
  readonly outbox: WebhookOutboxService;
  readonly endpoints: WebhookEndpointsService;
  readonly deliveries: WebhookDeliveriesService;
  readonly dataSource: DataSource;
  close(): Promise<void>;
}

/**
 * A database of its own, a receiver, and as many applications over them as a test starts. At its end every request that the receiver got is verified
 * by independent libraries.
 */
export class OutboxWorld {
  /** How far the clocks of senders are off. */
  clocksOffMs = 0;
  private readonly apps: { close(): Promise<void> }[] = [];

  private constructor(
    readonly url: string,
    private readonly database: FreshDatabase | undefined,
    readonly receiver: WebhookReceiver,
    readonly admin: pg.Pool,
  ) {}

  static async create(url?: string): Promise<OutboxWorld> {
    const database = url === undefined ? await freshDatabase() : undefined;
    const at = url ?? database?.url ?? '';
    const admin = new pg.Pool({ connectionString: at, max: 3 });
    admin.on('error', () => undefined);
    return new OutboxWorld(at, database, await WebhookReceiver.start(), admin);
  }

  async start(options: WebhookOutboxOptions = {}, poolSize = 6): Promise<OutboxApp> {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: this.url, poolSize, retryAttempts: 0 }),
        WebhookOutboxModule.forRoot({ ...TEST_OPTIONS, ...options }),
      ],
    })
    class AppModule {}
    const context = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    let closing: Promise<void> | undefined;
    const app: OutboxApp = {
      context,
      outbox: context.get(WebhookOutboxService),
      endpoints: context.get(WebhookEndpointsService),
      deliveries: context.get(WebhookDeliveriesService),
      dataSource: context.get(DataSource),
      close: () =>
        (closing ??= context.close().finally(() => {
          const at = this.apps.indexOf(app);
          if (at >= 0) this.apps.splice(at, 1);
        })),
    };
    this.apps.push(app);
    return app;
  }

  /** For an application that a test made itself; closing it twice is harmless. */
  closeAtEnd(app: INestApplicationContext): void {
    this.apps.push({ close: () => app.close().catch(() => undefined) });
  }

  /** An endpoint of its own path, so that tests that share a receiver tell their requests apart. */
  endpoint(app: OutboxApp, path: string, more: Omit<NewEndpoint, 'url'> = {}): Promise<CreatedEndpoint> {
    return app.endpoints.create({ url: `${this.receiver.url}${path}`, ...more });
  }

  requests(path: string): readonly ReceivedWebhook[] {
    return this.receiver.requests.filter((request) => request.path === `/${path}`);
  }

  async received(path: string, count: number, timeoutMs = 20_000): Promise<readonly ReceivedWebhook[]> {
    await waitFor(() => this.requests(path).length >= count, {
      timeoutMs,
      description: `${count} request(s) to ${path}`,
    });
    return this.requests(path);
  }

  async deliveries(): Promise<DeliveryRow[]> {
    const { rows } = await this.admin.query<DeliveryRow>(
      `SELECT d.*, e.type, e.dedupe_key FROM baton.webhook_deliveries d JOIN baton.webhook_events e ON e.id = d.event_id ORDER BY d.id`,
    );
    return rows;
  }

  async attempts(): Promise<AttemptRow[]> {
    return (await this.admin.query<AttemptRow>('SELECT * FROM baton.webhook_attempts ORDER BY id')).rows;
  }

  async settled(count: number, timeoutMs = 20_000): Promise<DeliveryRow[]> {
    let rows: DeliveryRow[] = [];
    await waitFor(
      async () => {
        rows = (await this.deliveries()).filter(({ settled_at }) => settled_at !== null);
        return rows.length >= count;
      },
      { timeoutMs, description: `${count} settled deliveries` },
    );
    return rows;
  }

  /** Verifies what came so far, and forgets it. */
  forget(): void {
    verifyRequests(this.receiver, { clocksOffMs: this.clocksOffMs });
    this.receiver.forget();
  }

  async stop(): Promise<void> {
    for (const app of [...this.apps]) await app.close();
    await this.receiver.stop();
    await this.admin.end();
    await this.database?.drop();
    this.forget();
  }
}

export interface DeliveryRow {
  readonly id: string;
  readonly state: string;
  readonly attempts: number;
  readonly lease_losses: number;
  readonly fence: string;
  readonly last_outcome: string | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly reason: string | null;
  readonly line_id: string | null;
  readonly seq: string | null;
  readonly started_at: Date | null;
  readonly settled_at: Date | null;
  readonly type: string;
  readonly dedupe_key: string;
}

export interface AttemptRow {
  readonly delivery_id: string;
  readonly attempt: number;
  readonly started_at: Date;
  readonly duration_ms: number | null;
  readonly outcome: string;
  readonly reason: string | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly is_late: boolean;
}

export function header(request: ReceivedWebhook, name: string): string {
  return String(request.headers[name]);
}
