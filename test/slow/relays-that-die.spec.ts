import type { Random } from '@nest-baton/core';
import {
  assertConservation,
  type ChildWorker,
  randomPick,
  type ReceivedWebhook,
  startProcess,
  waitFor,
  type WebhookAnswer,
} from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from '../webhook-outbox/support/outbox-world.js';
import { breakThings, inParallel, soak } from './support/soak.js';

const RELAYS = 2;
const ENDPOINTS = ['a', 'b', 'c'];
const PRODUCERS = 3;
const SHORT = {
  lease: '1500ms',
  requestTimeout: '500ms',
  shutdownTimeout: '1s',
  schedule: Array<string>(100).fill('100ms'),
} as const;

let world: OutboxWorld;
const relays: ChildWorker[] = [];
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()));
  await world.stop();
});

describe('relays that are killed, stopped and cut off', () => {
  soak('send each event that was committed, and none that was rolled back', async (soaking) => {
    const accepted: string[] = [];
    const answers = soaking.randomOf(-1);
    world.receiver.answer((request) => {
      const answer = answerOf(answers);
      if (answer.status === undefined && answer.instead === undefined) accepted.push(thingOf(request));
      return answer;
    });
    const app = await world.start({ role: 'producer' });
    for (const path of ENDPOINTS) await world.endpoint(app, path);
    await Promise.all(Array.from({ length: RELAYS }, startRelay));

    const breaking = breakThings(soaking, 1_500, (random) => breakSomething(random));
    const committed: string[] = [];
    const doubtful: string[] = [];
    await inParallel(soaking, PRODUCERS, async (producer, random, nth) => {
      const id = `${producer}:${nth}`;
      const outcome = await produce(app, id, random() < 0.2);
      if (outcome === 'committed') committed.push(id);
      if (outcome === 'unknown') doubtful.push(id);
      await sleep(random() * 30);
    });
    await breaking;
    world.receiver.answer((request) => {
      accepted.push(thingOf(request));
      return {};
    });
    await waitFor(async () => (await rows()).every(({ settled }) => settled), {
      timeoutMs: 60_000,
      description: 'every delivery is settled',
    });

    const deliveries = await rows();
    const stored = new Set(deliveries.map(({ thing }) => thing));
    const admitted = [
      ...committed.flatMap(thingsOf),
      // Their commit was lost on the way; if the event is there, it was admitted.
      ...doubtful.flatMap(thingsOf).filter((thing) => stored.has(thing)),
    ];
    const inState = (state: string) => deliveries.filter((row) => row.state === state).map(({ thing }) => thing);
    const { ended } = assertConservation({
      what: 'deliveries',
      admitted,
      ended: { delivered: inState('delivered'), dead: inState('dead'), failed: inState('failed') },
      effects: {
        accepted: {
          seen: accepted,
          requiredFor: ['delivered'],
          mayRepeat: deliveries.filter(({ attempts }) => attempts > 1).map(({ thing }) => thing),
        },
      },
    });
    expect(ended['delivered']).toBeGreaterThan(0);
    expect(ended['failed']).toBe(0);
  });
});

async function startRelay(): Promise<void> {
  const relay = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...SHORT })],
  });
  relays.push(relay);
  await relay.waitForLine(/^ready$/, 30_000);
}

async function breakSomething(random: Random): Promise<void> {
  const relay = randomPick(random, relays);
  const chance = random();
  if (chance < 0.3) {
    relays.splice(relays.indexOf(relay), 1);
    relay.signal('SIGKILL');
    await relay.exited;
    await startRelay();
  } else if (chance < 0.6) {
    relay.signal('SIGSTOP');
    // Up to twice its lease.
    await sleep(random() * 3_000);
    relay.signal('SIGCONT');
  } else {
    await world.admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
  }
}

async function produce(
  app: OutboxApp,
  id: string,
  isRolledBack: boolean,
): Promise<'committed' | 'rolledBack' | 'unknown'> {
  const rollBack = new Error('roll back');
  try {
    await app.dataSource.transaction(async (transaction) => {
      await app.outbox.send({ type: 'soak', data: { id }, id }, { transaction });
      if (isRolledBack) throw rollBack;
    });
    return 'committed';
  } catch (error) {
    return error === rollBack ? 'rolledBack' : 'unknown';
  }
}

function answerOf(random: Random): WebhookAnswer {
  const chance = random();
  if (chance < 0.1) return { status: 503 };
  if (chance < 0.15) return { instead: 'reset' };
  if (chance < 0.2) return { instead: 'never' };
  if (chance < 0.3) return { delayMs: random() * 400 };
  return {};
}

function thingOf({ path, body }: ReceivedWebhook): string {
  return `${(JSON.parse(body.toString()) as { data: { id: string } }).data.id} to ${path.slice(1)}`;
}

function thingsOf(id: string): string[] {
  return ENDPOINTS.map((path) => `${id} to ${path}`);
}

interface Row {
  readonly thing: string;
  readonly state: string;
  readonly settled: boolean;
  readonly attempts: number;
}

async function rows(): Promise<Row[]> {
  const { rows } = await world.admin.query<Row>(
    `SELECT e.dedupe_key || ' to ' || regexp_replace(p.url, '^.*/', '') AS thing, d.state, d.settled_at IS NOT NULL AS settled, d.attempts
     FROM baton.webhook_deliveries d JOIN baton.webhook_events e ON e.id = d.event_id JOIN baton.webhook_endpoints p ON p.id = d.endpoint_id`,
  );
  return rows;
}
