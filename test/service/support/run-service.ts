import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { randomToken } from '@nest-baton/core';
import {
  type ChildWorker,
  FakeQuickwit,
  freePort,
  freshDatabase,
  hintsUnderTest,
  sharedRedisUrl,
  startProcess,
  waitFor,
  WebhookReceiver,
} from '@nest-baton/testing';
import type { INestApplication } from '@nestjs/common';
import { Client } from 'pg';
import { appConfigFromEnv } from '../../../src/app.config.js';
import { createApp } from '../../../src/create-app.js';
import { RunReader } from '../../../demo/run-reader.js';

const STEPPED_SERVICE = fileURLToPath(new URL('./stepped-service.ts', import.meta.url));

export interface RunView {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly worker: string | null;
  readonly chunks: number;
  readonly indexedTo: number;
  readonly failure?: string;
}

/** A database, a sink, a receiver and a Redis namespace of a test's own, and the service's processes on them. */
export class RunWorld {
  private readonly stops: (() => Promise<unknown>)[] = [];
  secret = '';

  private constructor(
    readonly databaseUrl: string,
    readonly redisUrl: string,
    readonly sink: FakeQuickwit,
    readonly receiver: WebhookReceiver,
  ) {}

  /** @param redisUrl an exclusive server's, where the test flushes or freezes it. */
  static async create(redisUrl = sharedRedisUrl()): Promise<RunWorld> {
    const database = await freshDatabase();
    const [sink, receiver] = await Promise.all([FakeQuickwit.start(), WebhookReceiver.start()]);
    const world = new RunWorld(database.url, redisUrl, sink, receiver);
    world.stops.push(
      () => database.drop(),
      () => sink.stop(),
      () => receiver.stop(),
    );
    return world;
  }

  private readonly namespace = `runs-${randomToken(8)}`;

  environment(overrides: Record<string, string> = {}): Record<string, string> {
    const hints = hintsUnderTest();
    return {
      BATON_DATABASE_URL: this.databaseUrl,
      BATON_REDIS_URL: this.redisUrl,
      BATON_INGEST_URL: this.sink.url,
      BATON_LOG_FORMAT: 'json',
      BATON_RUNS_HINTS: hints,
      BATON_INGEST_HINTS: hints,
      BATON_INGEST_MAX_DELAY: '100ms',
      BATON_PG_STREAM_HINTS: hints,
      BATON_WEBHOOK_OUTBOX_HINTS: hints,
      BATON_REDIS_RECONCILE_HINTS: hints,
      BATON_RUNS_POLL_INTERVAL: '200ms',
      BATON_RUNS_STALLED_AFTER: '500ms',
      BATON_REDIS_RECONCILE_SERVICE: this.namespace,
      BATON_REDIS_RECONCILE_LEASE: '1s',
      BATON_REDIS_RECONCILE_RECOVERY_INTERVAL: '500ms',
      BATON_REDIS_RECONCILE_RECOVERY_MIN_IDLE: '1s',
      BATON_REDIS_RECONCILE_KEYSPACE_EVENTS: 'off',
      BATON_WEBHOOK_OUTBOX_LEASE: '2s',
      BATON_WEBHOOK_OUTBOX_REQUEST_TIMEOUT: '1s',
      BATON_WEBHOOK_OUTBOX_ALLOW_HTTP: 'true',
      BATON_WEBHOOK_OUTBOX_ALLOW_ADDRESSES: '127.0.0.0/8',
      ...overrides,
    };
  }

  /** A healthy service inside the test's process; returns its base URL. */
  async startHere(overrides: Record<string, string> = {}): Promise<{ baseUrl: string; app: INestApplication }> {
    const env = this.environment({ POD_NAME: 'here', ...overrides, BATON_PORT: `${await freePort()}` });
    const config = appConfigFromEnv(env);
    const app = await createApp(config, false);
    this.stops.push(() => app.close());
    return { baseUrl: `http://127.0.0.1:${config.port}`, app };
  }

  /** A service in a process of its own that stops for ever at `step`, the first time it gets there. */
  async startStepped(
    step: string,
    overrides: Record<string, string> = {},
  ): Promise<{ baseUrl: string; child: ChildWorker }> {
    const port = await freePort();
    const env = this.environment({ POD_NAME: 'victim', ...overrides, BATON_PORT: `${port}` });
    const child = await startProcess({ entry: STEPPED_SERVICE, args: [step], env });
    this.stops.push(() => child.stop());
    await child.waitForLine(/^READY$/, 30_000);
    return { baseUrl: `http://127.0.0.1:${port}`, child };
  }

  async subscribe(baseUrl: string): Promise<void> {
    const created = await post(`${baseUrl}/webhook-endpoints`, { url: this.receiver.url, types: ['run.*'] });
    this.secret = ((await created.json()) as { secret: string }).secret;
  }

  /** Waits for the end of the run; then checks that stream, sink and receiver agree with the input. */
  async expectDone(baseUrl: string, id: string, input: string): Promise<RunView> {
    const view = await this.waitForEnd(baseUrl, id);
    expect(view).toMatchObject({ state: 'done' });
    const reader = new RunReader(`${baseUrl}/runs/${id}/stream`, Infinity);
    await reader.readToEnd(AbortSignal.timeout(10_000));
    expect(reader.sha256()).toBe(createHash('sha256').update(input).digest('hex'));
    const lines = input.match(/[^\n]*\n|[^\n]+$/g) ?? [];
    expect(view).toMatchObject({ chunks: lines.length, indexedTo: lines.length });
    const documents = this.sink.documents('runs') as readonly { id: string; text: string }[];
    expect(new Map(documents.map((document) => [document.id, document.text]))).toEqual(
      new Map(lines.map((text, index) => [`${id}:${index}`, text])),
    );
    await this.expectOneWebhook('run.done', id);
    return view;
  }

  /** One event, whatever the number of requests: all verified, all with one id. */
  async expectOneWebhook(type: string, id: string): Promise<unknown> {
    await waitFor(() => this.receiver.requests.length > 0, { description: `${type} of ${id} was received` });
    const bodies = this.receiver.requests.map(
      ({ body }) => JSON.parse(body.toString()) as { type: string; data: { id: string } },
    );
    expect(bodies.map((body) => [body.type, body.data.id])).toEqual(bodies.map(() => [type, id]));
    expect(new Set(this.receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    for (const request of this.receiver.requests) expect(this.receiver.verify(request, this.secret)).toBe(true);
    return bodies[0];
  }

  async waitForEnd(baseUrl: string, id: string): Promise<RunView> {
    return waitFor(
      async () => {
        const view = await this.view(baseUrl, id);
        return view.state === 'done' || view.state === 'failed' ? view : undefined;
      },
      { timeoutMs: 25_000, description: `run ${id} has ended` },
    );
  }

  async view(baseUrl: string, id: string): Promise<RunView> {
    return (await (await fetch(`${baseUrl}/runs/${id}`)).json()) as RunView;
  }

  /** The id of the one run in the database, for a client that never got its answer. */
  async onlyRunId(): Promise<string> {
    const rows = await this.query<{ id: string }>('SELECT id FROM baton.runs');
    expect(rows).toHaveLength(1);
    return rows[0]?.id ?? '';
  }

  async handoffOf(id: string): Promise<{ handoffId: string | null; fence: number }> {
    const [row] = await this.query<{ handoffId: string | null; fence: number }>(
      `SELECT handoff_id AS "handoffId", fence::float8 AS fence FROM baton.runs WHERE id = '${id}'`,
    );
    if (row === undefined) throw new Error(`there is no run ${id}`);
    return row;
  }

  async query<Row extends object>(sql: string): Promise<Row[]> {
    const client = new Client({ connectionString: this.databaseUrl });
    await client.connect();
    try {
      return (await client.query<Row>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.reverse()) await stop();
  }
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

export async function postRun(baseUrl: string, input: string): Promise<string> {
  const response = await post(`${baseUrl}/runs`, { input });
  expect(response.status).toBe(202);
  return ((await response.json()) as { id: string }).id;
}
