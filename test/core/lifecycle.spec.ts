import { CoalescedNotifier, PollLoop } from '@nest-baton/core';
import { type FreshDatabase, freshDatabase, lifecycleContract, openGate } from '@nest-baton/testing';
import { SchedulerRegistry } from '@nestjs/schedule';
import type pg from 'pg';
import { connected, Listening } from './listening.js';

let database: FreshDatabase;
let admin: pg.Client;

beforeAll(async () => {
  database = await freshDatabase();
  admin = await connected(database.url);
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

function pollLoop() {
  const gate = openGate();
  const registry = new SchedulerRegistry();
  let [waiting, done, isNextBroken] = [0, 0, false];
  const loop = new PollLoop({
    name: 'baton:core:test:lifecycle',
    registry,
    intervalMs: 3_600_000,
    onError: () => undefined,
    pass: async () => {
      if (isNextBroken) {
        isNextBroken = false;
        throw new Error('the pass is broken');
      }
      const taken = waiting;
      waiting = 0;
      await gate.pass();
      done += taken;
    },
  });
  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    notify: () => loop.notify(),
    runOnce: () => loop.runOnce(),
    addWork: () => waiting++,
    workDone: () => done,
    failNextPass: () => void (isNextBroken = true),
    open: () => ({ 'registered timers': registry.getTimeouts().length }),
    gate,
  };
}

describe('PollLoop in the scheduler registry:', () => {
  it.each(lifecycleContract(pollLoop, { asks: ['work', 'notify', 'runOnce', 'hold', 'fail'] }))('$title', ({ run }) =>
    run(),
  );
});

describe('SelfHealingListener on a server:', () => {
  const listening = () => {
    const { listener, ...told } = new Listening(database.url);
    const backends = async () => {
      const { rows } = await admin.query(`SELECT FROM pg_stat_activity WHERE application_name = $1`, [
        told.applicationName,
      ]);
      return rows.length;
    };
    return {
      start: () => listener.start(),
      stop: () => listener.stop(),
      open: async () => ({ 'server connections': await backends() }),
    };
  };
  it.each(lifecycleContract(listening))('$title', ({ run }) => run());
});

describe('SelfHealingListener without a server:', () => {
  const listening = () => {
    const { listener } = new Listening('postgres://127.0.0.1:1/nowhere', {
      backoff: { baseMs: 20, factor: 1, capMs: 20, jitter: 'none' },
    });
    // The first attempt fails; it goes on trying until it is stopped.
    return { start: () => listener.start().catch(() => undefined), stop: () => listener.stop() };
  };
  it.each(lifecycleContract(listening))('$title', ({ run }) => run());
});

describe('CoalescedNotifier, which has no start() and begins with the first notify():', () => {
  const notifier = () => {
    const gate = openGate();
    let sent = 0;
    const one = new CoalescedNotifier({
      onError: () => undefined,
      send: async () => {
        await admin.query('SELECT 1');
        await gate.pass();
        sent++;
      },
    });
    return {
      start: () => one.notify('runs'),
      stop: () => one.stop(),
      addWork: () => undefined,
      workDone: () => sent,
      gate,
    };
  };
  it.each(lifecycleContract(notifier, { asks: ['work', 'hold'] }))('$title', ({ run }) => run());
});
