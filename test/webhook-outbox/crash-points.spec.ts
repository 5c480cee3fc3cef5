import { type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import { StatementGate, type STEPS } from './support/gates.js';
import { header, OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

const SHORT = {
  lease: '1500ms',
  requestTimeout: '1s',
  schedule: ['100ms', '100ms'],
  shutdownTimeout: '300ms',
} as const;

async function startRelay(): Promise<ChildWorker> {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...SHORT })],
  });
  await child.waitForLine(/^ready$/);
  return child;
}

interface Point {
  readonly at: keyof typeof STEPS;
  /** What the first request gets. */
  readonly answer: object;
  readonly signal?: 'SIGTERM';
  /** Requests at the end. */
  readonly requests: number;
  readonly history: readonly string[];
}

/** Each statement of a relay that changes a delivery, held while the process is killed. */
const POINTS: readonly Point[] = [
  { at: 'claim', answer: {}, requests: 1, history: ['1 delivered'] },
  { at: 'renew', answer: { delayMs: 900 }, requests: 2, history: ['1 unknown', '2 delivered'] },
  { at: 'retry', answer: { status: 500 }, requests: 2, history: ['1 unknown', '2 delivered'] },
  { at: 'settle', answer: {}, requests: 2, history: ['1 unknown', '2 delivered'] },
  {
    at: 'release',
    answer: { instead: 'never' },
    signal: 'SIGTERM',
    requests: 2,
    history: ['1 unknown', '2 delivered'],
  },
];

describe('a relay that is killed while a statement of it is on its way', () => {
  it.each(POINTS)('$at: nothing is lost, the id stays, and the history says so', async (point) => {
    const { at, answer, signal, requests, history } = point;
    world.receiver.answer([answer]);
    const producer = await world.start({ role: 'producer' });
    const { secret } = await world.endpoint(producer, 'x');
    const gate = await StatementGate.close(world.admin, at);
    const child = await startRelay();
    const { deliveries } = await producer.outbox.send({ type: 'a', data: 1 });
    if (signal !== undefined) {
      await world.received('x', 1);
      child.signal(signal);
    }
    await waitFor(() => gate.isReached(), { description: `the ${at} to be held` });
    child.signal('SIGKILL');
    await child.exited;
    await gate.endHeldStatements();
    await gate.open();
    await world.start(SHORT);
    const rows = await world.settled(deliveries ?? 0);
    expect(rows).toMatchObject([{ state: 'delivered', attempts: requests, lease_losses: 0 }]);
    const sent = world.requests('x');
    expect(sent).toHaveLength(requests);
    expect(new Set(sent.map((request) => header(request, 'webhook-id'))).size).toBe(1);
    expect(new Set(sent.map(({ body }) => body.toString())).size).toBe(1);
    expect(sent.every((request) => world.receiver.verify(request, secret))).toBe(true);
    expect((await world.attempts()).map(({ attempt, outcome }) => `${attempt} ${outcome}`)).toEqual(history);
  });
});

describe('relays whose clocks are ten minutes off', () => {
  it.each([
    ['to either side', ['-600000', '600000']],
    ['and step forth and back meanwhile', ['600000,-600000', '0,600000,-600000']],
  ])('%s: send nothing early, late or twice', async (_how, clocks) => {
    world.clocksOffMs = 600_000;
    world.receiver.answer((_request, nth) => ({ status: nth <= 20 ? 500 : 204 }));
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const options = { ...TEST_OPTIONS, schedule: ['1s', '1s'], breakerFailures: 0, maxInFlight: 4 };
    const children = await Promise.all(
      clocks.map((clock) =>
        startProcess({
          entry: 'test/webhook-outbox/support/relay-program.ts',
          args: [world.url, JSON.stringify(options), clock],
        }),
      ),
    );
    await Promise.all(children.map((child) => child.waitForLine(/^ready$/)));
    for (let nth = 0; nth < 40; nth++) await producer.outbox.send({ type: 'a', data: nth });
    const rows = await world.settled(40);
    expect(rows.every(({ state }) => state === 'delivered')).toBe(true);
    const byId = new Map<string, number[]>();
    for (const request of world.requests('x')) {
      const id = header(request, 'webhook-id');
      byId.set(id, [...(byId.get(id) ?? []), request.receivedAt]);
    }
    expect(world.requests('x')).toHaveLength(60);
    for (const times of byId.values())
      for (let nth = 1; nth < times.length; nth++) {
        expect(times[nth]! - times[nth - 1]!).toBeGreaterThanOrEqual(790);
        expect(times[nth]! - times[nth - 1]!).toBeLessThan(4_000);
      }
    expect(rows.every(({ lease_losses }) => lease_losses === 0)).toBe(true);
    for (const child of children) {
      child.signal('SIGKILL');
      await child.exited;
    }
  });
});
