import { systemClock, TypedEvents } from '@nest-baton/core';
import {
  type ExclusiveRedis,
  freshDatabase,
  type FreshDatabase,
  lifecycleContract,
  openGate,
  startRedis,
} from '@nest-baton/testing';
import { HandoffHandler, RedisReconcileModule, type RedisReconcileOptions } from '@nest-baton/redis-reconcile';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { CommandConnection } from '../../libs/redis-reconcile/src/connecting/command-connection.js';
import { RedisLink } from '../../libs/redis-reconcile/src/connecting/redis-link.js';
import { SingleSource } from '../../libs/redis-reconcile/src/connecting/single-source.js';
import { DeadLetterCourier } from '../../libs/redis-reconcile/src/dead-letters/dead-letter-courier.js';
import { HandoffSpans } from '../../libs/redis-reconcile/src/operating/handoff-spans.js';
import { ExpiryListeners } from '../../libs/redis-reconcile/src/noticing/expiry-listeners.js';
import type { EventsMaster } from '../../libs/redis-reconcile/src/noticing/expiry-subscription.js';
import { LapseNoticer } from '../../libs/redis-reconcile/src/noticing/lapse-noticer.js';
import { Partition } from '../../libs/redis-reconcile/src/partitions/partition.js';
import { PartitionKeys } from '../../libs/redis-reconcile/src/partitions/partition-keys.js';
import { BlockingReader } from '../../libs/redis-reconcile/src/reading/blocking-reader.js';
import { Capacity } from '../../libs/redis-reconcile/src/reading/capacity.js';
import { PartitionReader } from '../../libs/redis-reconcile/src/reading/partition-reader.js';
import { FAST, freshService, keysOf, openRedis } from './support/instance.js';

const LONG_MS = 3_600_000;

let server: ExclusiveRedis;
let admin: Redis;
let database: FreshDatabase;

beforeAll(async () => {
  Logger.overrideLogger(false);
  server = await startRedis({ exclusive: true });
  admin = openRedis(server.url);
  database = await freshDatabase();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
  await database.drop();
});

/** As the server counts them, our own among them. */
async function connections(): Promise<{ 'server connections': number }> {
  const list = (await admin.client('LIST')) as string;
  return { 'server connections': list.trim().split('\n').length };
}

/** The surroundings of a part: a partition on the server, and a connection that is open before anything is counted. */
async function surroundings() {
  const source = new SingleSource({ url: server.url }, 1_000);
  const connection = new CommandConnection(source);
  const link = new RedisLink(connection, 1_000, systemClock);
  await link.connect();
  const service = freshService();
  const partition = new Partition(new PartitionKeys(service, 0, 1, 'dlq'), link);
  return { source, link, service, partition, logger: new Logger('lifecycle'), dispose: () => connection.close() };
}

describe('PartitionReader:', () => {
  const reader = async () => {
    const { source, partition, dispose } = await surroundings();
    await partition.createOwnersGroup();
    const gate = openGate();
    const capacity = new Capacity(1);
    let taken = 0;
    const one = new PartitionReader({
      partition,
      capacity,
      random: () => 0.5,
      reader: new BlockingReader(source, partition.keys.stream, 'lifecycle', 200, 1_000),
      onEntries: async (entries) => {
        await gate.pass();
        taken += entries.length;
        capacity.release(entries.length);
      },
      onFailure: () => undefined,
      stopTimeoutMs: 1_000,
    });
    return {
      start: () => one.start(),
      stop: () => {
        capacity.close();
        return one.stop();
      },
      addWork: () => admin.xadd(partition.keys.stream, '*', 'stream', 'a'),
      workDone: () => taken,
      open: connections,
      gate,
      dispose,
    };
  };
  it.each(lifecycleContract(reader, { asks: ['work', 'hold'] }))('$title', ({ run }) => run());
});

describe('DeadLetterCourier:', () => {
  const courier = async () => {
    const { partition, logger, dispose } = await surroundings();
    await partition.createHandlersGroup();
    const gate = openGate();
    let told = 0;
    const one = new DeadLetterCourier({
      name: 'baton:redis-reconcile:lifecycle:dead-letters',
      partitions: [partition],
      worker: {
        handle: async () => undefined,
        onDeadLetter: async () => {
          await gate.pass();
          told++;
        },
      },
      consumer: 'lifecycle',
      reclaimMs: LONG_MS,
      intervalMs: () => LONG_MS,
      events: new TypedEvents(() => undefined),
      spans: new HandoffSpans('lifecycle'),
      logger,
    });
    return {
      start: () => one.start(),
      stop: () => one.stop(5_000),
      notify: () => one.notify(),
      addWork: () => admin.xadd(partition.keys.deadLetters, '*', 'stream', 'a', 'handoffId', 'h', 'reason', 'r'),
      workDone: () => told,
      open: connections,
      gate,
      dispose,
    };
  };
  it.each(lifecycleContract(courier, { asks: ['work', 'notify', 'hold'] }))('$title', ({ run }) => run());
});

describe.each(['auto', 'off'] as const)('ExpiryListeners in mode %s:', (mode) => {
  const listeners = async () => {
    const { source, link, service, logger, dispose } = await surroundings();
    const master: EventsMaster = {
      id: 'only',
      name: source.address,
      dedicated: () => source.dedicated(),
      call: (command) => link.call(command),
    };
    const one = new ExpiryListeners({
      service,
      partitions: 1,
      database: 0,
      mode,
      logger,
      commandTimeoutMs: 1_000,
      random: () => 0,
      onExpired: () => undefined,
      onCoverage: () => undefined,
      onSetUp: () => undefined,
    });
    return { start: () => one.follow([master]), stop: () => one.stop(), open: connections, dispose };
  };
  it.each(lifecycleContract(listeners))('$title', ({ run }) => run());
});

describe('LapseNoticer, which begins with the first news:', () => {
  const noticer = async () => {
    const { partition, logger, dispose } = await surroundings();
    const gate = openGate();
    let looked = 0;
    const one = new LapseNoticer({
      partitions: [partition],
      reconciler: {
        lapsed: async () => {
          await gate.pass();
          looked++;
        },
      } as never,
      random: () => 0,
      now: () => systemClock.monotonic(),
      logger,
    });
    return {
      start: () => one.notice(0, 'a', 0),
      stop: () => one.stop(),
      addWork: () => undefined,
      workDone: () => looked,
      gate,
      dispose,
    };
  };
  it.each(lifecycleContract(noticer, { asks: ['work'] }))('$title', ({ run }) => run());
});

/** An application with an instance, and another client that hands work to it. */
async function application(
  options: Partial<RedisReconcileOptions> = {},
  order: 'before' | 'after' | 'without' = 'without',
) {
  const service = freshService();
  const gate = openGate();
  let handled = 0;
  @HandoffHandler('default', { concurrency: 1 })
  class Worker {
    async handle(): Promise<void> {
      await gate.pass();
      handled++;
    }
    async onDeadLetter(): Promise<void> {
      // nothing is given up here
    }
  }
  const typeOrm = TypeOrmModule.forRoot({ type: 'postgres', url: database.url, retryAttempts: 0, poolSize: 1 });
  const reconcile = RedisReconcileModule.forRoot({
    connection: { url: server.url },
    service,
    consumerId: 'lifecycle',
    ...FAST,
    shutdown: 'drain',
    ...options,
  });
  const imports = order === 'without' ? [reconcile] : order === 'before' ? [typeOrm, reconcile] : [reconcile, typeOrm];
  const app = await Test.createTestingModule({ imports, providers: [Worker] }).compile();
  let runs = 0;
  return {
    start: () => app.init(),
    stop: () => app.close(),
    // As anybody may add it: a client of the module's would have timers of its own.
    addWork: () => admin.xadd(keysOf(service).stream, '*', 'id', `h-${++runs}`, 'stream', `run-${runs}`),
    workDone: () => handled,
    open: connections,
    gate,
  };
}

const APPLICATION = { asks: ['work', 'hold'], startAfterStop: 'refused' } as const;

describe('an application with RedisReconcileModule and a handler, scanning alone:', () => {
  it.each(lifecycleContract(() => application(), APPLICATION))('$title', ({ run }) => run());
});

describe('an application with RedisReconcileModule and a handler, hearing expiry events:', () => {
  const hearing = () => application({ keyspaceEvents: 'auto', hints: 'on' });
  it.each(lifecycleContract(hearing, APPLICATION))('$title', ({ run }) => run());
});

describe.each(['before', 'after'] as const)('an application that imports TypeORM %s RedisReconcileModule:', (order) => {
  it.each(lifecycleContract(() => application({}, order), APPLICATION))('$title', ({ run }) => run());
});
