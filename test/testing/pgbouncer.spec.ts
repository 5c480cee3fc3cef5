import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freshDatabase, startPgbouncer, waitFor } from '@nest-baton/testing';
import { Client } from 'pg';
import { readTestingEnvironment } from '../../libs/testing/src/environment.js';
import { findPgbouncer, runnableBy } from '../../libs/testing/src/postgres/pgbouncer-binary.js';
import { unprivilegedAccount } from '../../libs/testing/src/processes/account.js';
import { createTempFolder } from '../../libs/testing/src/processes/temp-folder.js';
import { processesNaming } from './support/leftovers.js';

describe('a pgbouncer of its own', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  const ended: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    database = await freshDatabase();
  });

  afterEach(async () => {
    for (const end of ended.splice(0).reverse()) await end();
  });

  afterAll(() => database.drop());

  async function start(poolMode?: 'session' | 'transaction' | 'statement', poolSize?: number) {
    const options = { databaseUrl: database.url, ...(poolMode && { poolMode }), ...(poolSize && { poolSize }) };
    const pgbouncer = await startPgbouncer(options);
    ended.push(() => pgbouncer.stop());
    return pgbouncer;
  }

  async function connect(connectionString: string): Promise<Client> {
    const client = new Client({ connectionString });
    client.on('error', () => undefined);
    await client.connect();
    ended.push(() => client.end().catch(() => undefined));
    return client;
  }

  const pid = async (client: Client) =>
    (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid;

  /** What a session that listens through `url` hears of a NOTIFY that is sent past the pooler. */
  async function heardThrough(url: string): Promise<(string | undefined)[]> {
    const [listening, plain] = [await connect(url), await connect(database.url)];
    const heard: (string | undefined)[] = [];
    listening.on('notification', ({ payload }) => heard.push(payload));
    await listening.query('LISTEN here');
    await plain.query(`NOTIFY here, 'hello'`);
    await waitFor(() => heard.length === 1, { description: 'the notification through the pooler' });
    return heard;
  }

  it('in transaction mode gives one server connection to many clients, and what one of them listens to is not its own', async () => {
    const { url, origin } = await start(undefined, 1);
    expect(origin).toMatch(/^(\/|Debian packages$)/);
    const [one, two] = [await connect(url), await connect(url)];
    expect(await pid(one)).toBe(await pid(two));
    await one.query('BEGIN');
    const waiting = two.query('SELECT 1');
    await one.query('COMMIT');
    await waiting;
    await one.query('LISTEN here');
    expect((await two.query('SELECT pg_listening_channels() AS channel')).rows).toEqual([{ channel: 'here' }]);
  });

  it('in session mode keeps a client’s server connection, and LISTEN works', async () => {
    const { url } = await start('session');
    const [one, two] = [await connect(url), await connect(url)];
    expect(await pid(one)).not.toBe(await pid(two));
    await one.query('LISTEN here');
    expect((await two.query('SELECT pg_listening_channels()')).rows).toEqual([]);
    expect(await heardThrough(url)).toEqual(['hello']);
  });

  it('in statement mode refuses transactions', async () => {
    const client = await connect((await start('statement')).url);
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await expect(client.query('BEGIN')).rejects.toThrow(/transaction/i);
  });

  it('has a console, and leaves no process and no folder when it is stopped, twice, with clients', async () => {
    const pgbouncer = await start();
    const admin = await connect(pgbouncer.adminUrl);
    const { rows } = await admin.query<{ key: string; value: string }>('SHOW CONFIG');
    const users = rows.find(({ key }) => key === 'auth_file')?.value ?? '';
    const folder = users.replace('/users.txt', '');
    expect([existsSync(users), processesNaming(folder).length]).toEqual([true, 1]);
    await connect(pgbouncer.url);
    await pgbouncer.stop();
    await pgbouncer.stop();
    expect([existsSync(folder), processesNaming(folder)]).toEqual([false, []]);
  });

  it('refuses what it cannot do, without telling the password', async () => {
    const wrong = { databaseUrl: 'postgres://me@localhost/db', poolMode: 'none', settings: { listen_port: 1 } };
    await expect(startPgbouncer(wrong as never)).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      problems: [
        expect.stringContaining('poolMode must be one of') as string,
        'databaseUrl must name a user and a password',
        'settings.listen_port is decided by startPgbouncer(), leave it out',
      ],
    });
  });

  it('is copied with its libraries to where another account may run it', async () => {
    const found = await findPgbouncer(readTestingEnvironment());
    if ('reason' in found) throw new Error(found.reason);
    const closed = await mkdtemp(join(tmpdir(), 'baton-closed-'));
    const file = join(closed, 'pgbouncer');
    await cp(found.file, file);
    const account = unprivilegedAccount();
    const folder = createTempFolder('pgbouncer', account);
    const anybody = account ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const copy = await runnableBy(anybody, { ...found, file }, folder);
    expect(copy.file.startsWith(folder.path)).toBe(true);
    const { stdout } = await promisify(execFile)(copy.file, ['--version'], { ...account, env: copy.env });
    expect(stdout).toContain('PgBouncer');
    await folder.remove();
    await rm(closed, { recursive: true });
  });

  it('says why there is none', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'baton-no-pgbouncer-'));
    const environment = readTestingEnvironment({ PATH: empty });
    const found = await findPgbouncer(environment, { start: empty, usualFolders: [] });
    expect(found).toEqual({ reason: expect.stringMatching(/^pgbouncer is not on PATH, and apt-get/) as string });
    await rm(empty, { recursive: true });
  });
});
