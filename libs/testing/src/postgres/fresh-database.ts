import { randomToken } from '@nest-baton/core';
import { Client } from 'pg';
import { sharedPostgresUrl } from '../backends/shared-backends.js';

export interface FreshDatabase {
  readonly url: string;
  /** Ends whatever is still connected, and removes it. May be called twice. */
  drop(): Promise<void>;
}

/** An empty database of a suite's own on the run's shared Postgres: suites run side by side and must share neither rows nor channels. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const base = sharedPostgresUrl();
  const name = `test_${randomToken(12)}`;
  // template0 has no connections, so that several can be copied from it at once.
  await execute(base, `CREATE DATABASE ${name} TEMPLATE template0`);
  const url = new URL(base);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => execute(base, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
