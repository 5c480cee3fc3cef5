import type { DataSource } from 'typeorm';

interface Emitter {
  on(event: string, listener: (value: never) => void): unknown;
}

const seen = new WeakSet<object>();

/**
 * Gives each connection of the pool a listener for `error` that stays.
 *
 * Between the pool's own listener and TypeORM's, and after TypeORM's was taken off, a connection has none for a moment. A server that ends it
 * just then (a restart, a failover, `pg_terminate_backend`) would end the process with an uncaught `error`. Whoever waits for a statement
 * still gets its rejection.
 */
export function surviveLostConnections(dataSource: DataSource): void {
  const { master } = dataSource.driver as { readonly master?: unknown };
  if (!isEmitter(master) || seen.has(master)) return;
  seen.add(master);
  // `acquire` and not `connect`: the first connections were made before we saw the pool.
  master.on('acquire', (client: unknown) => {
    if (!isEmitter(client) || seen.has(client)) return;
    seen.add(client);
    client.on('error', () => undefined);
  });
}

function isEmitter(value: unknown): value is Emitter {
  return typeof value === 'object' && value !== null && typeof (value as { on?: unknown }).on === 'function';
}
