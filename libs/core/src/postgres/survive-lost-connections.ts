interface Emitter {
  on(event: string, listener: (value: never) => void): unknown;
}

const seen = new WeakSet<object>();

/**
 * Gives each connection of a `pg` pool a listener for `error` that stays. A pool that was seen before, and what is no emitter, is left alone.
 *
 * The pool takes its own listener off when it hands a connection out, and whoever asked for the connection hears of it a moment later. A server
 * that ends it just then (a restart, a failover, `pg_terminate_backend`: ready and gone may come in one packet) would end the process with an
 * uncaught `error`. Whoever waits for a statement still gets its rejection.
 */
export function surviveLostConnections(pool: unknown): void {
  if (!isEmitter(pool) || seen.has(pool)) return;
  seen.add(pool);
  // `acquire` and not `connect`: the first connections may have been made before we saw the pool.
  pool.on('acquire', (client: unknown) => {
    if (!isEmitter(client) || seen.has(client)) return;
    seen.add(client);
    client.on('error', () => undefined);
  });
}

function isEmitter(value: unknown): value is Emitter {
  return typeof value === 'object' && value !== null && typeof (value as { on?: unknown }).on === 'function';
}
