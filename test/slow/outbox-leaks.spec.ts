import { waitFor } from '@nest-baton/testing';
import { collectGarbage } from '../support/collect-garbage.js';
import { OutboxWorld } from '../webhook-outbox/support/outbox-world.js';
import { soak } from './support/soak.js';

const MOST_GROWTH = 20 * 1024 * 1024;

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

interface Use {
  readonly heap: number;
  readonly timers: number;
  readonly sockets: number;
  readonly connections: number;
  readonly listeners: number;
}

async function use(): Promise<Use> {
  await new Promise((resolve) => setTimeout(resolve, 200));
  collectGarbage();
  const resources = process.getActiveResourcesInfo();
  const count = (name: string): number => resources.filter((one) => one === name).length;
  const { rows } = await world.admin.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database()',
  );
  const listeners = ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection', 'warning', 'exit'];
  return {
    heap: process.memoryUsage().heapUsed,
    timers: count('Timeout') + count('Immediate'),
    sockets: count('TCPSocketWrap') + count('TCPServerWrap'),
    connections: rows[0]?.n ?? 0,
    listeners: listeners.reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
}

/** Everything that may hold on to something: retries, breakers, limits, an endpoint that hangs, LISTEN, and an end in the middle of it. */
async function life(nth: number): Promise<void> {
  world.receiver.answer((request, at) =>
    request.path.startsWith('/hang') ? { instead: 'never' } : { status: at % 3 === 0 ? 500 : 204 },
  );
  const app = await world.start({
    hints: 'on',
    listenConnectionString: world.url,
    lease: '1s',
    requestTimeout: '300ms',
    breakerFailures: 5,
    breakerPause: '100ms',
    shutdownTimeout: '500ms',
  });
  const ids: string[] = [];
  for (const [path, limits] of [
    ['plain', {}],
    ['hang', { maxInFlight: 4 }],
    ['rate', { rate: { perSecond: 50, burst: 5 } }],
    ['slots', { globalMaxInFlight: 2 }],
  ] as const)
    ids.push((await app.endpoints.create({ url: `${world.receiver.url}${path}`, types: ['a'], ...limits })).id);
  const before = world.receiver.requests.length;
  for (let batch = 0; batch < 4; batch++)
    await app.outbox.sendMany(
      Array.from({ length: 25 }, (_, data) => ({ type: 'a', data: `${nth} ${batch} ${data}` })),
    );
  await waitFor(() => world.receiver.requests.length >= before + 150, { timeoutMs: 20_000, description: 'requests' });
  for (const id of ids) await app.endpoints.delete(id);
  await app.close();
}

describe('an outbox that lives again and again', () => {
  soak('leaves no timer, socket, connection or listener behind, and no memory', async (soaking) => {
    for (let nth = 0; nth < 3; nth++) await life(nth);
    world.receiver.forget();
    const before = await use();
    let lives = 0;
    for (; soaking.isOn() || lives < 3; lives++) {
      await life(lives + 3);
      world.receiver.forget();
    }
    const after = await use();
    expect(after.timers).toBeLessThanOrEqual(before.timers + 1);
    expect(after.sockets).toBeLessThanOrEqual(before.sockets + 1);
    expect(after.connections).toBeLessThanOrEqual(before.connections);
    expect(after.listeners).toBeLessThanOrEqual(before.listeners);
    expect(after.heap - before.heap).toBeLessThan(MOST_GROWTH + lives * 100 * 1024);
  });
});
