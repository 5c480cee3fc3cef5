import {
  type FreshDatabase,
  FakeQuickwit,
  freshDatabase,
  lifecycleContract,
  sharedRedisUrl,
} from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import pg from 'pg';
import { randomUUID } from 'node:crypto';
import { appConfigFromEnv } from '../../src/app.config.js';
import { AppModule } from '../../src/app.module.js';

let database: FreshDatabase;
let admin: pg.Client;
let sink: FakeQuickwit;

beforeAll(async () => {
  Logger.overrideLogger(false);
  [database, sink] = await Promise.all([freshDatabase(), FakeQuickwit.start()]);
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
});

afterAll(async () => {
  await admin.end();
  await sink.stop();
  await database.drop();
});

/** undici has one timer for all its timeouts, and Node's HTTP servers one for the date; both end by themselves within a second. */
const SHARED = { startAfterStop: 'refused', ignores: /undici\/lib\/util\/timers|testing\/src\/http/ } as const;

describe.each(['all', 'api', 'worker'])('the service in the role %s, every module of it:', (role) => {
  const service = async () => {
    const config = appConfigFromEnv({
      BATON_ROLE: role,
      BATON_DATABASE_URL: database.url,
      BATON_REDIS_URL: sharedRedisUrl(),
      BATON_INGEST_URL: sink.url,
      BATON_REDIS_RECONCILE_SERVICE: `lifecycle-${randomUUID()}`,
      BATON_REDIS_RECONCILE_KEYSPACE_EVENTS: 'off',
      BATON_REDIS_RECONCILE_LEASE: '1s',
      BATON_WEBHOOK_OUTBOX_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      POD_NAME: 'lifecycle',
    });
    const app = await Test.createTestingModule({ imports: [AppModule.forRoot(config)] }).compile();
    return {
      start: () => app.init(),
      stop: () => app.close(),
      // The pool of the service grows with its first looks, at its own time: what listens is counted, and Node's own sockets.
      open: async () => {
        const { rows } = await admin.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`,
        );
        return { 'LISTEN connections': rows.length };
      },
    };
  };
  it.each(lifecycleContract(service, SHARED))('$title', ({ run }) => run());
});
