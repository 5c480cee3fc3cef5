import { waitFor } from '@nest-baton/testing';
import { header, OutboxWorld } from './support/outbox-world.js';

const [PRODUCERS, EACH] = [32, 20];

/** Longer than a claim looks behind what it has seen. */
const LONG_MS = 3_000;

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

function received(path: string): string[] {
  return world.requests(path).map(({ body }) => (JSON.parse(body.toString()) as { data: string }).data);
}

describe('32 producers at once, and one whose transaction is long (scenario 14)', () => {
  it('send each event that was committed, and of the long one nothing before its commit and all after it', async () => {
    const producer = await world.start({ role: 'producer' }, PRODUCERS + 2);
    const relay = await world.start({ role: 'worker', pollInterval: '1s', listenConnectionString: world.url });
    await world.endpoint(producer, 'x', { types: ['order.*'] });
    await world.endpoint(producer, 'long', { types: ['long'] });
    await world.admin.query('CREATE TABLE orders (name text PRIMARY KEY)');

    const long = producer.dataSource.createQueryRunner();
    await long.startTransaction();
    const longNames = Array.from({ length: 32 }, (_, nth) => `long-${nth}`);
    for (const name of longNames) await producer.outbox.send({ type: 'long', data: name }, { transaction: long });
    for (const name of longNames) await producer.outbox.send({ type: 'order.long', data: name }, { transaction: long });
    const beganAt = performance.now();

    const order = async (name: string, isKept: boolean): Promise<void> => {
      const ordering = producer.dataSource.transaction(async (transaction) => {
        await transaction.query('INSERT INTO orders VALUES ($1)', [name]);
        await producer.outbox.send({ type: 'order.placed', id: name, data: name }, { transaction });
        if (!isKept) throw new Error('rolled back by the test');
      });
      if (isKept) await ordering;
      else await expect(ordering).rejects.toThrow('rolled back by the test');
    };
    const produce = async (nth: number): Promise<void> => {
      for (let i = 0; i < EACH; i++) await order(`${nth}-${i}`, i % 7 !== 6);
    };
    await Promise.all(Array.from({ length: PRODUCERS }, (_, nth) => produce(nth)));
    const { rows } = await world.admin.query<{ name: string }>('SELECT name FROM orders ORDER BY name');
    const committed = rows.map(({ name }) => name).sort();
    expect(committed).toHaveLength(PRODUCERS * (EACH - 2));
    await waitFor(() => world.requests('x').length >= committed.length, {
      timeoutMs: 20_000,
      description: 'what was committed to be sent',
    });
    await waitFor(() => performance.now() - beganAt > LONG_MS, { description: 'the long transaction to be long' });
    expect(received('x').sort()).toEqual(committed);
    expect(world.requests('long')).toEqual([]);

    await long.commitTransaction();
    await long.release();
    await waitFor(() => world.requests('long').length + world.requests('x').length >= committed.length + 64, {
      timeoutMs: 30_000,
      description: 'the events of the long transaction to be sent',
    });
    await world.settled(committed.length + 64, 20_000);
    expect(received('long').sort()).toEqual([...longNames].sort());
    expect(received('x').sort()).toEqual([...committed, ...longNames].sort());
    const ids = [...world.requests('x'), ...world.requests('long')].map((request) => header(request, 'webhook-id'));
    expect(new Set(ids).size).toBe(ids.length);
    expect((await relay.outbox.stats()).relay).toMatchObject({ leasesLost: 0 });
  }, 120_000);
});
