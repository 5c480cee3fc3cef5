import type { QueryRunner } from 'typeorm';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** Every connection of the pool, so that nobody else has one until they are given back. */
function wholePool({ dataSource }: OutboxApp): QueryRunner[] {
  const { master } = dataSource.driver as unknown as {
    readonly master: { readonly options: { readonly max: number } };
  };
  return Array.from({ length: master.options.max }, () => dataSource.createQueryRunner());
}

describe('the plans that connections keep', () => {
  it('may be gone with the next statement, as behind a pooler that moves each: what failed is repeated without', async () => {
    const app = await world.start();
    const failures: unknown[] = [];
    app.outbox.on('pollFailed', ({ error }) => failures.push(error));
    app.outbox.on('settleFailed', ({ error }) => failures.push(error));
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    const runners = wholePool(app);
    const kept = await Promise.all(
      runners.map(async (runner) => {
        const rows = (await runner.query('SELECT name FROM pg_prepared_statements')) as object[];
        await runner.query('DEALLOCATE ALL');
        return rows.length;
      }),
    );
    expect(kept.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(2);
    for (const runner of runners) await runner.release();
    for (let nth = 0; nth < 20; nth++) await app.outbox.send({ type: 'a', data: nth });
    const rows = await world.settled(21);
    expect(rows.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual(Array(21).fill('delivered 1'));
    expect(world.requests('x')).toHaveLength(21);
    expect(failures).toEqual([]);
  });

  it('are named by what they are, so that two versions of the module never mean different statements by one name', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    const names = new Map<string, string>();
    const runners = wholePool(app);
    for (const runner of runners)
      for (const { name, statement } of (await runner.query('SELECT name, statement FROM pg_prepared_statements')) as {
        name: string;
        statement: string;
      }[]) {
        expect(name).toMatch(/^baton_[0-9a-f]{24}$/);
        expect(names.get(name) ?? statement).toBe(statement);
        names.set(name, statement);
      }
    for (const runner of runners) await runner.release();
    expect(new Set(names.values()).size).toBe(names.size);
  });
});
