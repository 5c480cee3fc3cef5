import { existsSync } from 'node:fs';
import { type ExclusivePostgres, startPostgres, waitFor } from '@nest-baton/testing';
import { Client } from 'pg';
import { processesNaming } from './support/leftovers.js';

async function connect(url: string, applicationName?: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: applicationName });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = await connect(url);
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('a Postgres of its own', () => {
  let postgres: ExclusivePostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ exclusive: true, settings: { work_mem: '7MB' } });
  });

  afterAll(() => postgres.stop());

  it('takes settings, and never gives up synchronous commits', async () => {
    const rows = await ask(
      postgres.url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('work_mem', 'synchronous_commit', 'fsync') ORDER BY name`,
    );
    expect(rows.map(({ setting }) => setting)).toEqual(['off', 'on', '7168']);
    await expect(startPostgres({ exclusive: true, settings: { synchronous_commit: 'off' } })).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
    });
  });

  it('keeps what was committed over a fast restart and over a crash, on the same URL', async () => {
    await ask(postgres.url, 'CREATE TABLE kept (id int)');
    for (const mode of ['fast', 'immediate'] as const) {
      const open = await connect(postgres.url);
      await open.query('BEGIN');
      await open.query('INSERT INTO kept VALUES (-1)');
      await ask(postgres.url, 'INSERT INTO kept VALUES (1)');
      const ended = new Promise((resolve) => open.once('end', resolve));
      await postgres.restart(mode);
      await ended;
    }
    expect(await ask(postgres.url, 'SELECT id FROM kept')).toEqual([{ id: 1 }, { id: 1 }]);
  });

  it('terminates the connections that meet the filter, and no other', async () => {
    await ask(postgres.url, 'CREATE DATABASE elsewhere');
    const [victim, other, elsewhere] = await Promise.all([
      connect(postgres.url, 'victim'),
      connect(postgres.url, 'other'),
      connect(postgres.url.replace(/postgres$/, 'elsewhere'), 'victim'),
    ]);
    await victim.query('LISTEN x');
    const codes: unknown[] = [];
    victim.on('error', (error) => codes.push((error as { code?: string }).code));
    expect(
      await postgres.terminateBackends({ database: 'postgres', applicationName: 'victim', query: 'LISTEN%' }),
    ).toBe(1);
    await waitFor(() => codes.length > 0, { description: 'the victim saw its end' });
    expect(codes[0]).toBe('57P01');
    expect((await other.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect((await elsewhere.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(await postgres.terminateBackends()).toBe(2);
    await Promise.all([victim, other, elsewhere].map((client) => client.end().catch(() => undefined)));
  });
});

describe('stopping a Postgres of its own', () => {
  it('leaves no process and no folder, with connections open, and may be done twice', async () => {
    const [one, two] = await Promise.all([
      startPostgres({ exclusive: true }),
      startPostgres({ exclusive: true, durable: true }),
    ]);
    expect(one.url).not.toBe(two.url);
    expect(await ask(two.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
    const [row] = await ask(one.url, `SELECT current_setting('data_directory') AS folder`);
    const folder = String(row?.['folder']);
    expect(processesNaming(folder)).not.toEqual([]);
    const client = await connect(one.url);
    await one.stop();
    await one.stop();
    expect(existsSync(folder.replace(/\/data$/, ''))).toBe(false);
    expect(processesNaming(folder)).toEqual([]);
    expect(await ask(two.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await two.stop();
    await client.end().catch(() => undefined);
  });
});
