import { systemClock } from '@nest-baton/core';
import { lifecycleContract, openGate } from '@nest-baton/testing';
import { DataSource } from 'typeorm';
import { EndpointStore } from '../../libs/webhook-outbox/src/endpoints/endpoint-store.js';
import { FanOut } from '../../libs/webhook-outbox/src/fanning-out/fan-out.js';
import { FanOutStore } from '../../libs/webhook-outbox/src/fanning-out/fan-out-store.js';
import { OutboxDatabase } from '../../libs/webhook-outbox/src/schema/outbox-database.js';
import { EndpointSnapshot } from '../../libs/webhook-outbox/src/sending-once/endpoint-snapshot.js';
import { OutboxWorld } from './support/outbox-world.js';

const ALL = { asks: ['work', 'notify', 'runOnce', 'hold', 'fail'], ignores: /node_modules\/pg/ } as const;

let world: OutboxWorld;
let dataSource: DataSource;
let database: OutboxDatabase;

beforeAll(async () => {
  world = await OutboxWorld.create();
  dataSource = await new DataSource({ type: 'postgres', url: world.url, poolSize: 2 }).initialize();
  database = new OutboxDatabase({ schema: 'baton', migrations: 'auto' }, () => dataSource);
  await database.prepare();
});

afterAll(async () => {
  await dataSource.destroy();
  await world.stop();
});

/** A method that fails when it is told to, once. */
function breakable<T, A extends unknown[]>(method: (...args: A) => Promise<T>) {
  let isNextBroken = false;
  return {
    failNextPass: () => void (isNextBroken = true),
    call: (...args: A): Promise<T> => {
      if (!isNextBroken) return method(...args);
      isNextBroken = false;
      return Promise.reject(new Error('broken by the test'));
    },
  };
}

/** Every connection of the test's is open before anything is counted. */
async function connected(): Promise<void> {
  await Promise.all([1, 2].map(() => dataSource.query('SELECT pg_sleep(0.01)')));
  await Promise.all([1, 2, 3].map(() => world.admin.query('SELECT pg_sleep(0.01)')));
}

describe('FanOut:', () => {
  const fanOut = async () => {
    await world.admin.query('TRUNCATE baton.webhook_events, baton.webhook_hand_offs');
    await connected();
    const store = new FanOutStore(database, database.schema, undefined);
    const gate = openGate();
    const claim = breakable(store.claim.bind(store));
    const step = store.step.bind(store);
    store.claim = claim.call;
    store.step = async (...args) => {
      const made = await step(...args);
      await gate.pass();
      return made;
    };
    let done = 0;
    const hooks = {
      onMade: () => undefined,
      onFannedOut: () => void done++,
      onLost: () => undefined,
      onFailed: () => undefined,
    };
    const one = new FanOut({ name: 'lifecycle', store, leaseMs: 30_000, registry: undefined, hooks });
    return {
      start: () => one.start(),
      stop: () => one.stop(),
      notify: () => one.notify(),
      runOnce: () => one.runOnce(),
      failNextPass: claim.failNextPass,
      gate,
      addWork: () =>
        world.admin.query(
          `WITH event AS (
             INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
             SELECT id, '', id::text, 'a', '{}', '', now() FROM (SELECT gen_random_uuid() AS id) made RETURNING id)
           INSERT INTO baton.webhook_hand_offs (event_id, kind, next_at, fence, count) SELECT id, 'fan-out', now(), 0, 0 FROM event`,
        ),
      workDone: () => done,
    };
  };
  it.each(lifecycleContract(fanOut, ALL))('$title', ({ run }) => run());
});

describe('EndpointSnapshot:', () => {
  const snapshot = async () => {
    await connected();
    const store = new EndpointStore(database, database.schema);
    const hooks = { onFailed: () => undefined, onTooMany: () => undefined };
    const one = new EndpointSnapshot('lifecycle', store, hooks, undefined, systemClock);
    return {
      start: () => one.start(),
      stop: () => one.stop(),
      notify: () => one.notify(),
      runOnce: () => one.runOnce(),
    };
  };
  it.each(lifecycleContract(snapshot, { asks: ['notify', 'runOnce'], ignores: ALL.ignores }))('$title', ({ run }) =>
    run(),
  );
});
