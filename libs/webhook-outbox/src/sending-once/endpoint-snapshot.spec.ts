import type { EndpointRow, EndpointStore } from '../endpoints/endpoint-store.js';
import { EndpointSnapshot, MOST_ENDPOINTS } from './endpoint-snapshot.js';

const row = (id: string, tenant: string, types: string[]): EndpointRow =>
  ({ id, tenant, types, url: 'https://example.com', version: 1, headers: null, secrets: [] }) as unknown as EndpointRow;

function snapshotOf(rows: () => Iterable<EndpointRow>) {
  const told: unknown[] = [];
  let now = 0;
  const store = {
    async *all() {
      yield* rows();
    },
  } as unknown as EndpointStore;
  const hooks = { onFailed: (error: unknown) => told.push(error), onTooMany: (most: number) => told.push(most) };
  const clock = { now: () => 0, monotonic: () => now };
  const snapshot = new EndpointSnapshot('x', store, hooks, undefined, clock);
  return { snapshot, told, pass: (ms: number) => (now += ms) };
}

describe('EndpointSnapshot', () => {
  it('tells who wanted an event of a tenant', async () => {
    const { snapshot } = snapshotOf(() => [row('1', 'a', ['run.*']), row('2', 'a', ['*']), row('3', 'b', ['*'])]);
    expect(snapshot.usableFrom).toBeUndefined();
    expect(snapshot.facts()).toEqual({ endpoints: 0, ageMs: null });
    await snapshot.runOnce();
    expect(snapshot.usableFrom).toBe(0);
    expect(snapshot.subscribers('a', 'run.done').map(({ id }) => id)).toEqual(['1', '2']);
    expect(snapshot.subscribers('a', 'other').map(({ id }) => id)).toEqual(['2']);
    expect(snapshot.subscribers('c', 'other')).toEqual([]);
  });

  it('is no use any more after ten minutes, and keeps what it had when it cannot be read anew', async () => {
    let isAway = false;
    const { snapshot, pass } = snapshotOf(() => {
      if (isAway) throw new Error('away');
      return [row('1', '', ['*'])];
    });
    await snapshot.runOnce();
    isAway = true;
    pass(600_000);
    await expect(snapshot.runOnce()).rejects.toThrow('away');
    expect(snapshot.facts()).toEqual({ endpoints: 1, ageMs: 600_000 });
    expect(snapshot.usableFrom).toBe(0);
    pass(1);
    expect(snapshot.usableFrom).toBeUndefined();
    isAway = false;
    await snapshot.runOnce();
    expect(snapshot.usableFrom).toBe(600_001);
  });

  it('holds all endpoints or none', async () => {
    let count = MOST_ENDPOINTS;
    const { snapshot, told } = snapshotOf(() => Array.from({ length: count }, (_, nth) => row(String(nth), '', ['*'])));
    await snapshot.runOnce();
    expect(snapshot.facts().endpoints).toBe(MOST_ENDPOINTS);
    count++;
    await snapshot.runOnce();
    expect(snapshot.facts()).toEqual({ endpoints: 0, ageMs: null });
    expect(told).toEqual([MOST_ENDPOINTS]);
  });
});
