import { type Migration, type MigrationPlan, type Queryable, randomToken, runMigrations } from '@nest-baton/core';
import { freshDatabase, waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { connected } from './listening.js';

const FIRST: Migration = {
  name: '0001-things',
  statements: (schema) => [
    `CREATE TABLE ${schema}.things (id bigint PRIMARY KEY)`,
    `INSERT INTO ${schema}.things VALUES (1)`,
  ],
};
const SECOND: Migration = { name: '0002-more', statements: (schema) => [`INSERT INTO ${schema}.things VALUES (2)`] };
const BROKEN: Migration = {
  name: '0003-broken',
  statements: (schema) => [`CREATE TABLE ${schema}.half (id int)`, `INSERT INTO ${schema}.things VALUES (1)`],
};

const plan = (schema: string, more: Partial<MigrationPlan> = {}): MigrationPlan => ({
  schema,
  table: 'test_migrations',
  migrations: [FIRST, SECOND],
  mode: 'auto',
  ...more,
});

describe('migrations', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let session: pg.Client;
  let schema: string;

  beforeAll(async () => {
    database = await freshDatabase();
    session = await connected(database.url);
  });
  beforeEach(() => void (schema = `s_${randomToken(8)}`));
  afterEach(async () => {
    const { rows } = await session.query(
      `SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    expect(rows).toHaveLength(0);
  });
  afterAll(async () => {
    await session.end();
    await database.drop();
  });

  const queryable = (client: pg.Client) => client as unknown as Queryable;
  const things = async () =>
    (await session.query<{ id: string }>(`SELECT id FROM "${schema}".things ORDER BY id`)).rows;
  const exists = async (name: string) =>
    (await session.query<{ oid: string | null }>(`SELECT to_regclass($1)::text AS oid`, [`"${schema}".${name}`]))
      .rows[0]!.oid !== null;

  it('run once each although five processes start together', async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => connected(database.url)));
    const applied = await Promise.all(clients.map((client) => runMigrations(queryable(client), plan(schema))));
    expect(applied.toSorted((a, b) => b.length - a.length)).toEqual([['0001-things', '0002-more'], [], [], [], []]);
    expect(await things()).toEqual([{ id: '1' }, { id: '2' }]);
    await Promise.all(clients.map((client) => client.end()));
  });

  it('of two libs that create the same schema together do not disturb each other', async () => {
    const libs = ['first', 'second'].map((lib) =>
      plan(schema, {
        table: `${lib}_migrations`,
        migrations: [{ name: '0001', statements: (quoted) => [`CREATE TABLE ${quoted}.${lib}_rows (id int)`] }],
      }),
    );
    const clients = await Promise.all(Array.from({ length: 6 }, () => connected(database.url)));
    const applied = await Promise.all(clients.map((client, i) => runMigrations(queryable(client), libs[i % 2]!)));
    expect(applied.flat()).toEqual(['0001', '0001']);
    await Promise.all(clients.map((client) => client.end()));
  });

  it('that are applied already are left alone, and new ones follow', async () => {
    await runMigrations(queryable(session), plan(schema, { migrations: [FIRST] }));
    expect(await runMigrations(queryable(session), plan(schema))).toEqual(['0002-more']);
    expect(await runMigrations(queryable(session), plan(schema))).toEqual([]);
    expect(await things()).toHaveLength(2);
  });

  it('leave nothing of one that fails, keep those before it, and can go on once it is mended', async () => {
    const broken = plan(schema, { migrations: [FIRST, BROKEN, SECOND] });
    await expect(runMigrations(queryable(session), broken)).rejects.toMatchObject({ code: '23505' });
    expect([await exists('things'), await exists('half'), await things()]).toEqual([true, false, [{ id: '1' }]]);
    const mended = { ...BROKEN, statements: (quoted: string) => [`CREATE TABLE ${quoted}.half (id int)`] };
    const names = await runMigrations(queryable(session), plan(schema, { migrations: [FIRST, mended, SECOND] }));
    expect(names).toEqual(['0003-broken', '0002-more']);
  });

  it('give the reason, and free others, when the connection is lost in the middle', async () => {
    const fatal: Migration = {
      name: '0001-fatal',
      statements: () => [`SELECT pg_terminate_backend(pg_backend_pid())`],
    };
    const dying = await connected(database.url);
    const failure = runMigrations(queryable(dying), plan(schema, { migrations: [fatal] }));
    await expect(failure).rejects.toMatchObject({ code: '57P01' });
    expect(await runMigrations(queryable(session), plan(schema))).toHaveLength(2);
  });

  it('wait for the process that runs them', async () => {
    const holder = await connected(database.url);
    await holder.query(`SELECT pg_advisory_lock(hashtext('baton:migrations'))`);
    const waiting = await connected(database.url);
    let isDone = false;
    const running = runMigrations(queryable(waiting), plan(schema)).finally(() => (isDone = true));
    await waitFor(
      async () =>
        (await session.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)).rows.length > 0,
      {
        description: 'the second process to wait for the lock',
      },
    );
    expect(isDone).toBe(false);
    await holder.end();
    expect(await running).toHaveLength(2);
    await waiting.end();
  });

  it('take names that need quotes', async () => {
    schema = `Odd "${randomToken(6)}" schema`;
    const odd = plan(schema, { table: `my "odd" table`, migrations: [{ name: `it's`, statements: () => [] }] });
    expect(await runMigrations(queryable(session), odd)).toEqual([`it's`]);
    expect(await runMigrations(queryable(session), { ...odd, mode: 'verify' })).toEqual([]);
    await session.query(`DROP SCHEMA "Odd ""${schema.split('"')[1]}"" schema" CASCADE`);
  });

  describe('that are only verified', () => {
    it('name what is missing and the remedy, and change nothing', async () => {
      const failure = runMigrations(queryable(session), plan(schema, { mode: 'verify' }));
      await expect(failure).rejects.toMatchObject({
        code: 'MIGRATIONS_PENDING',
        message: expect.stringMatching(
          /"s_.*lacks 2 migration\(s\) of test_migrations: 0001-things, 0002-more\. .*'auto'/,
        ),
      });
      const { rows } = await session.query(`SELECT FROM pg_namespace WHERE nspname = $1`, [schema]);
      expect(rows).toHaveLength(0);
    });

    it('name only what is missing of a database that is behind', async () => {
      await runMigrations(queryable(session), plan(schema, { migrations: [FIRST] }));
      await expect(runMigrations(queryable(session), plan(schema, { mode: 'verify' }))).rejects.toThrow(
        /lacks 1 migration\(s\) of test_migrations: 0002-more\. /,
      );
    });

    it('are well when all are applied, also when a newer version has applied more', async () => {
      await runMigrations(queryable(session), plan(schema));
      const older = plan(schema, { migrations: [FIRST], mode: 'verify' });
      expect(await runMigrations(queryable(session), older)).toEqual([]);
    });
  });

  it('need no right to create anything in a database that is up to date', async () => {
    await runMigrations(queryable(session), plan(schema));
    const role = `r_${randomToken(8)}`;
    await session.query(`CREATE ROLE ${role} NOLOGIN`);
    await session.query(
      `GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT SELECT ON ${schema}.test_migrations TO ${role}`,
    );
    const limited = await connected(database.url);
    await limited.query(`SET ROLE ${role}`);
    for (const mode of ['auto', 'verify'] as const)
      expect(await runMigrations(queryable(limited), plan(schema, { mode }))).toEqual([]);
    await limited.end();
    await session.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  it('with a schema prepared by somebody else need no right to create schemas', async () => {
    const role = `r_${randomToken(8)}`;
    await session.query(`CREATE ROLE ${role} NOLOGIN`);
    await session.query(`CREATE SCHEMA ${schema} AUTHORIZATION ${role}`);
    const limited = await connected(database.url);
    await limited.query(`SET ROLE ${role}`);
    expect(await runMigrations(queryable(limited), plan(schema))).toHaveLength(2);
    await limited.end();
    await session.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
  });

  it('that are off look at nothing', async () => {
    const untouchable: Queryable = { query: () => Promise.reject(new Error('was asked')) };
    expect(await runMigrations(untouchable, plan(schema, { mode: 'off' }))).toEqual([]);
  });
});
