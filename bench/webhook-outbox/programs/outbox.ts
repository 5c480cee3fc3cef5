import { setTimeout as sleep } from 'node:timers/promises';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { openLoop, type Sample, serveSubjects } from '../../harness/index.js';
import { takeClaimTimes, timeClaims } from '../measuring/claim-times.js';
import { type OutboxApp, sendAll, startOutboxApp, tenantOf } from '../subjects/ours.js';
import { EVENT_DATA, SECRET } from '../subjects/queue-subject.js';
import type { OutboxAction } from './outbox-actions.js';

const MB = 1024 * 1024;

timeClaims();

serveSubjects({
  outbox: async ({ url, options, poolSize }) => {
    const app = await startOutboxApp(String(url), options as WebhookOutboxOptions, Number(poolSize));
    const memory = watchMemory();
    return {
      run: (parameters) => obey(app, memory, parameters as unknown as OutboxAction),
      stop: async () => {
        memory.stop();
        await app.context.close();
      },
    };
  },
});

async function obey(app: OutboxApp, memory: ReturnType<typeof watchMemory>, action: OutboxAction): Promise<Sample> {
  switch (action.action) {
    case 'endpoints':
      for (const [nth, url] of action.urls.entries())
        await app.endpoints.create({ url, tenant: tenantOf(nth), secret: SECRET });
      return {};
    case 'send':
      await sendAll(app, action.count, action.tenants);
      return {};
    case 'burst':
      return burst(app, action.count, action.tenants);
    case 'sendAtRate':
      return sendAtRate(app, action);
    case 'commit':
      return commit(app, action.callers, action.ms);
    case 'backlog':
      return backlog(app, action.count);
    case 'claims':
      return takeClaimTimes();
    case 'memory':
      return memory.take();
    case 'states':
      return { ...(await app.outbox.stats()).byState };
    case 'clear':
      await app.dataSource.query('TRUNCATE baton.webhook_attempts, baton.webhook_deliveries, baton.webhook_events');
      return {};
  }
}

async function burst({ outbox, dataSource }: OutboxApp, count: number, tenants: number): Promise<Sample> {
  await dataSource.transaction(async (transaction) => {
    for (let nth = 0; nth < count; nth++)
      await outbox.send({ type: 'run.done', tenant: tenantOf(nth % tenants), data: EVENT_DATA }, { transaction });
  });
  return { committedMs: nowMs() };
}

async function sendAtRate(
  { outbox }: OutboxApp,
  { perSecond, seconds, tenants }: Extract<OutboxAction, { action: 'sendAtRate' }>,
): Promise<Sample> {
  const startedMs = nowMs();
  const sent = await openLoop({
    ratePerSecond: perSecond,
    durationMs: seconds * 1_000,
    operation: (nth) => {
      const at = startedMs + (nth * 1_000) / perSecond;
      return outbox.send({ type: 'run.done', tenant: tenantOf(nth % tenants), data: { ...EVENT_DATA, at } });
    },
    onLatency: () => undefined,
  });
  return { sent };
}

async function commit({ outbox, dataSource }: OutboxApp, callers: number, ms: number): Promise<Sample> {
  await dataSource.query('CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, note text NOT NULL)');
  const begun = performance.now();
  let commits = 0;
  const caller = async () => {
    do {
      await dataSource.transaction(async (transaction) => {
        await transaction.query('INSERT INTO orders (note) VALUES ($1)', ['bench']);
        await outbox.send({ type: 'run.done', tenant: tenantOf(0), data: EVENT_DATA }, { transaction });
      });
      commits++;
    } while (performance.now() - begun < ms);
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { commits, perSecond: (commits / (performance.now() - begun)) * 1_000 };
}

/** The endpoints are off until everything is there and the planner knows of it: only then is it due, all at one time. */
async function backlog({ dataSource }: OutboxApp, count: number): Promise<Sample> {
  const event = `INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
    SELECT gen_random_uuid(), 'backlog', n::text, 'run.done', $2, '', now() FROM generate_series(1, $1::int) n RETURNING id, dedupe_key`;
  await dataSource.query(`UPDATE baton.webhook_endpoints SET state = 'off'`);
  await dataSource.query(
    `WITH event AS (${event}),
     endpoint AS (SELECT id, tenant = $3 AS is_dead, row_number() OVER (PARTITION BY tenant = $3 ORDER BY id) - 1 AS nth,
                         count(*) OVER (PARTITION BY tenant = $3) AS many FROM baton.webhook_endpoints)
     INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
     SELECT event.id, endpoint.id, 'ready', now() - make_interval(secs => 7200 - 3600 * event.dedupe_key::float8 / $1), 0, 0, 0, now()
       FROM event JOIN endpoint ON endpoint.is_dead = (event.dedupe_key::int <= $1 / 2) AND endpoint.nth = event.dedupe_key::int % endpoint.many`,
    [count, JSON.stringify({ type: 'run.done', data: EVENT_DATA }), tenantOf(0)],
  );
  await dataSource.query('VACUUM ANALYZE baton.webhook_deliveries');
  await dataSource.query('VACUUM ANALYZE baton.webhook_events');
  const [row] = await dataSource.query<{ n: string }[]>('SELECT count(*) AS n FROM baton.webhook_deliveries');
  takeClaimTimes();
  await dataSource.query(`UPDATE baton.webhook_endpoints SET state = 'active'`);
  return { stored: Number(row?.n) };
}

function watchMemory() {
  let peak = process.memoryUsage.rss();
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  return {
    async take(): Promise<Sample> {
      globalThis.gc?.();
      await sleep(100);
      const peakRss = peak / MB;
      peak = process.memoryUsage.rss();
      return { rss: peak / MB, peakRss };
    },
    stop: () => clearInterval(timer),
  };
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
