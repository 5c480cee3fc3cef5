import { randomToken } from '@nest-baton/core';
import { type ChildWorker, sharedRedisUrl, startProcess, waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { Redis } from 'ioredis';
import { RedisListConsumer, RedisListQueue } from './examples/redis-list-queue.js';
import { StatementGate } from './support/gates.js';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { handOffs, QUEUE_OPTIONS, startWithQueue } from './support/queue-app.js';

const SHORT: WebhookOutboxOptions = { ...QUEUE_OPTIONS, lease: '1500ms', requestTimeout: '1s', handOffGrace: '1s' };

let world: OutboxWorld;
let redis: Redis;
let list: string;
let consumers: RedisListConsumer[];
let blocked: Redis[];

beforeEach(async () => {
  world = await OutboxWorld.create();
  redis = new Redis(sharedRedisUrl());
  list = `webhooks:${randomToken(10)}`;
  [consumers, blocked] = [[], []];
});

afterEach(async () => {
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  await world.stop();
  await redis.del(list);
  for (const one of [redis, ...blocked]) one.disconnect();
});

async function startChild(what: 'consume' | 'hang'): Promise<ChildWorker> {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/queue-program.ts',
    args: [what, world.url, sharedRedisUrl(), list, JSON.stringify(SHORT)],
  });
  await child.waitForLine(/^ready$/);
  return child;
}

/** In this process: produces, sweeps, and consumes once it is asked to. */
async function startApp(options: WebhookOutboxOptions = {}): Promise<OutboxApp & { consume(): void }> {
  const app = await startWithQueue(world, new RedisListQueue(redis, list), { ...SHORT, ...options });
  const consume = (): void => {
    const connection = new Redis(sharedRedisUrl());
    const consumer = new RedisListConsumer(connection, list, app.outbox);
    blocked.push(connection);
    consumers.push(consumer);
    consumer.start();
  };
  return { ...app, consume };
}

async function kill(child: ChildWorker): Promise<void> {
  child.signal('SIGKILL');
  await child.exited;
}

async function noneLeft(): Promise<void> {
  await waitFor(async () => (await handOffs(world)).length === 0, { description: 'no hand-off to be left' });
}

describe('an external queue', () => {
  it('carries events to whoever consumes, each delivered once', async () => {
    const producer = await startApp({ role: 'producer' });
    const { secret } = await world.endpoint(producer, 'x');
    const workers = [await startApp(), await startApp()];
    for (const worker of workers) worker.consume();
    await producer.outbox.sendMany(Array.from({ length: 100 }, (_, data) => ({ type: 'a', data })));
    await world.settled(100);
    expect(world.requests('x')).toHaveLength(100);
    expect(new Set(world.requests('x').map((request) => header(request, 'webhook-id'))).size).toBe(100);
    expect(world.requests('x').every((request) => world.receiver.verify(request, secret))).toBe(true);
    await noneLeft();
  });

  it('may be emptied: the sweep hands over again what was lost with it', async () => {
    const app = await startApp();
    await world.endpoint(app, 'x');
    await app.outbox.sendMany(Array.from({ length: 10 }, (_, data) => ({ type: 'a', data })));
    await waitFor(async () => (await redis.llen(list)) === 10, { description: 'all to be handed over' });
    await redis.del(list);
    app.consume();
    await world.settled(10);
    expect((await world.deliveries()).every(({ attempts }) => attempts === 1)).toBe(true);
    expect(world.requests('x')).toHaveLength(10);
    await noneLeft();
  });
});

describe('a process with a queue that is killed', () => {
  it('between commit and hand-off: swept, handed over by another, delivered once', async () => {
    const app = await startApp();
    await world.endpoint(app, 'x');
    const child = await startChild('hang');
    await child.waitForLine(/^told /);
    await kill(child);
    app.consume();
    await world.settled(1);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
    expect(world.requests('x')).toHaveLength(1);
    await noneLeft();
  });

  it('while it claims: nobody acknowledged, and the sweep hands it over when the lease has ended', async () => {
    const producer = await startApp({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const gate = await StatementGate.close(world.admin, 'claim');
    const child = await startChild('consume');
    await producer.outbox.send({ type: 'a', data: 1 });
    await waitFor(() => gate.isReached(), { description: 'the claim to be held' });
    await kill(child);
    await gate.endHeldStatements();
    await gate.open();
    expect(world.requests('x')).toHaveLength(0);
    (await startApp()).consume();
    await world.settled(1, 12_000);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
    expect(world.requests('x')).toHaveLength(1);
    await noneLeft();
  });

  it('between send and settle: sent again with the same id', async () => {
    const producer = await startApp({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const gate = await StatementGate.close(world.admin, 'settle');
    const child = await startChild('consume');
    await producer.outbox.send({ type: 'a', data: 1 });
    await waitFor(() => gate.isReached(), { description: 'the settle to be held' });
    await kill(child);
    await gate.endHeldStatements();
    await gate.open();
    (await startApp()).consume();
    await world.settled(1, 12_000);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 2 }]);
    const [first, second, ...others] = world.requests('x');
    expect(header(second!, 'webhook-id')).toBe(header(first!, 'webhook-id'));
    expect(others).toEqual([]);
    await noneLeft();
  });

  it('between settle and acknowledgement: the message comes back, and nothing is sent', async () => {
    const producer = await startApp({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startChild('consume');
    const { outboxId, id } = await producer.outbox.send({ type: 'a', data: 1 });
    await child.waitForLine(/^delivered /);
    await kill(child);
    await redis.lpush(list, JSON.stringify({ outboxId, id, type: 'a', tenant: '' }));
    (await startApp()).consume();
    await waitFor(async () => (await redis.llen(list)) === 0, { description: 'the message to be consumed' });
    await noneLeft();
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
    expect(world.requests('x')).toHaveLength(1);
  });
});
