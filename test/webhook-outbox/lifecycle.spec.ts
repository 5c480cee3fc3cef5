import { randomUUID } from 'node:crypto';
import { systemClock } from '@nest-baton/core';
import { lifecycleContract, openGate } from '@nest-baton/testing';
import { WebhookOutboxModule, type WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { ClaimStore } from '../../libs/webhook-outbox/src/claiming/claim-store.js';
import { DeliveryStore } from '../../libs/webhook-outbox/src/delivering/delivery-store.js';
import { LeaseKeeper } from '../../libs/webhook-outbox/src/delivering/lease-keeper.js';
import { HeldDeliveries } from '../../libs/webhook-outbox/src/delivering/held-deliveries.js';
import { ReclaimStore } from '../../libs/webhook-outbox/src/reclaiming/reclaim-store.js';
import { Relay } from '../../libs/webhook-outbox/src/delivering/relay.js';
import { EndpointDirectory } from '../../libs/webhook-outbox/src/endpoints/endpoint-directory.js';
import { EndpointStore } from '../../libs/webhook-outbox/src/endpoints/endpoint-store.js';
import { KeyRing } from '../../libs/webhook-outbox/src/endpoints/key-ring.js';
import { EndpointHealthStore } from '../../libs/webhook-outbox/src/endpoint-health/endpoint-health-store.js';
import { Cleaner } from '../../libs/webhook-outbox/src/retaining/cleaner.js';
import { EndpointRemains } from '../../libs/webhook-outbox/src/retaining/endpoint-remains.js';
import { RetentionStore } from '../../libs/webhook-outbox/src/retaining/retention-store.js';
import { OutboxDatabase } from '../../libs/webhook-outbox/src/schema/outbox-database.js';
import { HttpSender } from '../../libs/webhook-outbox/src/sending/http-sender.js';
import { WakeUps } from '../../libs/webhook-outbox/src/waking/wake-ups.js';
import { resolveWebhookOutboxOptions } from '../../libs/webhook-outbox/src/webhook-outbox.options.js';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';
import { trust } from './support/verified-requests.js';

const logger = new Logger('lifecycle');

/** What is shared or the test's own: undici's timer for all its timeouts, the date of Node's HTTP servers, pools of the test. */
const SHARED = { ignores: /undici\/lib\/util\/timers|testing\/src\/http|node_modules\/pg/ };

let world: OutboxWorld;
let producer: OutboxApp;
let dataSource: DataSource;
let database: OutboxDatabase;

beforeAll(async () => {
  Logger.overrideLogger(false);
  world = await OutboxWorld.create();
  producer = await world.start({ role: 'producer', hints: 'off' });
  await world.endpoint(producer, 'lifecycle');
  dataSource = await new DataSource({ type: 'postgres', url: world.url, poolSize: 2 }).initialize();
  database = new OutboxDatabase({ schema: 'baton', migrations: 'auto' }, () => dataSource);
  await database.prepare();
});

afterAll(async () => {
  await dataSource.destroy();
  await world.stop();
});

/** Nothing is due, and every connection of the test's is open before anything is counted. */
async function cleared() {
  await world.admin.query('TRUNCATE baton.webhook_events CASCADE');
  await Promise.all([1, 2].map(() => dataSource.query('SELECT pg_sleep(0.01)')));
  await Promise.all([1, 2, 3].map(() => world.admin.query('SELECT pg_sleep(0.01)')));
  await producer.dataSource.query('SELECT 1');
  const before = world.requests('lifecycle').length;
  return {
    addWork: () => producer.outbox.send({ type: 'lifecycle', data: 1 }),
    workDone: () => world.requests('lifecycle').length - before,
  };
}

/** Connections of what is under test. */
async function connections(named = '%'): Promise<{ 'server connections': number }> {
  const { rows } = await world.admin.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend' AND application_name LIKE $1`,
    [named],
  );
  return { 'server connections': rows.length };
}

describe('Relay:', () => {
  const relay = async () => {
    const options = resolveWebhookOutboxOptions({ ...TEST_OPTIONS, pollInterval: '1h' });
    const gate = openGate();
    let isNextBroken = false;
    const claims = new ClaimStore(database, database.schema);
    const claim = claims.claim.bind(claims);
    claims.claim = async (request) => {
      if (isNextBroken) {
        isNextBroken = false;
        throw new Error('the claim is broken');
      }
      const claimed = await claim(request);
      await gate.pass();
      return claimed;
    };
    const ring = new KeyRing(options.keys);
    const one = new Relay(
      'lifecycle',
      options,
      {
        claims,
        store: new DeliveryStore(database, database.schema),
        health: new EndpointHealthStore(database, database.schema, options),
        reclaims: new ReclaimStore(database, database.schema),
        directory: new EndpointDirectory(
          new EndpointStore(database, database.schema),
          ring,
          systemClock,
          () => undefined,
        ),
        sender: new HttpSender({ ...options, maxConnections: 8 }, systemClock),
      },
      hooks(),
      undefined,
    );
    return {
      ...(await cleared()),
      start: () => one.start(),
      stop: () => one.stop(),
      notify: () => one.notify(),
      runOnce: () => one.runOnce(),
      failNextPass: () => void (isNextBroken = true),
      gate,
    };
  };
  it.each(lifecycleContract(relay, { asks: ['work', 'notify', 'runOnce', 'hold', 'fail'], ...SHARED }))(
    '$title',
    ({ run }) => run(),
  );
});

describe('Cleaner:', () => {
  const cleaner = async () => {
    await cleared();
    const { retention } = resolveWebhookOutboxOptions(TEST_OPTIONS);
    const gate = openGate();
    let isNextBroken = false;
    const store = new RetentionStore(database, database.schema, retention);
    const { expire } = store;
    store.expire = async (limit) => {
      if (isNextBroken) {
        isNextBroken = false;
        throw new Error('the cleanup is broken');
      }
      return expire.call(store, limit);
    };
    const { removeLone } = store;
    store.removeLone = async (after, limit) => {
      const removed = await removeLone.call(store, after, limit);
      await gate.pass();
      return removed;
    };
    const remains = new EndpointRemains(database, database.schema, retention);
    const parts = { name: 'lifecycle', store, remains, intervalMs: 3_600_000, registry: undefined, hooks: hooks() };
    const one = new Cleaner(parts);
    const prefix = `cleaner-${randomUUID()}`;
    let added = 0;
    return {
      start: () => one.start(),
      stop: () => one.stop(),
      notify: () => one.notify(),
      runOnce: () => one.runOnce(),
      failNextPass: () => void (isNextBroken = true),
      gate,
      addWork: async () => {
        await world.admin.query(
          `INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
           VALUES (gen_random_uuid(), '', $1, 'a', '{}', '', now() - interval '40 d')`,
          [`${prefix}-${added++}`],
        );
      },
      workDone: async () => {
        const { rowCount } = await world.admin.query('SELECT FROM baton.webhook_events WHERE dedupe_key LIKE $1', [
          `${prefix}-%`,
        ]);
        return added - (rowCount ?? 0);
      },
    };
  };
  it.each(lifecycleContract(cleaner, { asks: ['work', 'notify', 'runOnce', 'hold', 'fail'], ...SHARED }))(
    '$title',
    ({ run }) => run(),
  );
});

describe('LeaseKeeper:', () => {
  const keeper = () =>
    new LeaseKeeper(new DeliveryStore(database, database.schema), new HeldDeliveries(), 1_000, systemClock, {
      onLost: () => undefined,
      onError: () => undefined,
    });
  it.each(lifecycleContract(keeper))('$title', ({ run }) => run());
});

describe('HttpSender, which begins with its first request:', () => {
  const secret = Buffer.alloc(24);
  trust(`whsec_${secret.toString('base64')}`);
  const sender = () => {
    const one = new HttpSender({ ...resolveWebhookOutboxOptions(TEST_OPTIONS), maxConnections: 2 }, systemClock);
    const request = {
      url: `${world.receiver.url}sender`,
      headers: {},
      secrets: [secret],
      webhookId: 'msg_1',
      body: '{}',
    };
    return { start: () => one.send(request, new AbortController().signal), stop: () => one.stop() };
  };
  it.each(lifecycleContract(sender, SHARED))('$title', ({ run }) => run());
});

describe.each([
  ['on a server', () => world.url],
  ['without a server', () => 'postgres://127.0.0.1:1/nowhere'],
])('WakeUps %s:', (_where, url) => {
  const wakeUps = () => {
    const options = resolveWebhookOutboxOptions({ ...TEST_OPTIONS, hints: 'on', listenConnectionString: url() });
    const one = new WakeUps(options, database, () => undefined, logger, hooks());
    return {
      start: () => {
        one.start();
        one.committed();
      },
      stop: () => one.stop(),
      open: () => connections(),
    };
  };
  it.each(lifecycleContract(wakeUps, { ignores: /pg-pool/ }))('$title', ({ run }) => run());
});

describe.each(['before', 'after'])('an application that imports TypeORM %s WebhookOutboxModule:', (order) => {
  const application = async (options: WebhookOutboxOptions = {}) => {
    const due = await cleared();
    const imports = [
      TypeOrmModule.forRoot({ type: 'postgres', url: world.url, retryAttempts: 0, poolSize: 3 }),
      WebhookOutboxModule.forRoot({ ...TEST_OPTIONS, ...options }),
    ];
    if (order === 'after') imports.reverse();
    const app = await Test.createTestingModule({ imports }).compile();
    return { ...due, start: () => app.init(), stop: () => app.close(), open: () => connections() };
  };
  const contract = { asks: ['work'], startAfterStop: 'refused', ...SHARED } as const;
  it.each(lifecycleContract(application, contract))('$title', ({ run }) => run());

  describe('with LISTEN, closed while requests are on their way:', () => {
    const busy = async () => {
      const app = await application({ hints: 'on', listenConnectionString: world.url });
      return {
        ...app,
        // The pool grows with the work, at its own time.
        open: () => connections('%listen%'),
        start: async () => {
          world.receiver.answer(() => ({ delayMs: 100 }));
          for (let i = 0; i < 5; i++) await app.addWork();
          await app.start();
        },
      };
    };
    it.each(lifecycleContract(busy, { startAfterStop: 'refused', ...SHARED }))('$title', ({ run }) => run());
  });
});

/** Of the relay and of the wake-ups: nobody listens. */
function hooks(): never {
  return new Proxy({}, { get: () => () => undefined }) as never;
}
