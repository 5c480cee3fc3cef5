import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OptionsCheck } from '@nest-baton/core';
import { resolveBackend } from '../backends/resolve-backend.js';
import { readTestingEnvironment } from '../environment.js';
import { type Account, unprivilegedAccount } from '../processes/account.js';
import { freePort } from '../processes/free-port.js';
import type { LocalProgram } from '../processes/local-program.js';
import { ServerProcess } from '../processes/server-process.js';
import { createTempFolder, type TempFolder } from '../processes/temp-folder.js';
import { canConnect } from './local-postgres.js';
import { findPgbouncer, runnableBy } from './pgbouncer-binary.js';

export interface PgbouncerOptions {
  /** The server behind it, with user and password: `freshDatabase().url`. Any database of that server can be reached through it. */
  readonly databaseUrl: string;
  /**
   * How long a client keeps its server connection. `session`: until it leaves; everything works. `transaction`: until the end of each transaction; what
   * belongs to a session (LISTEN, advisory locks, SET) is lost or shared. `statement`: transactions are refused. Default `transaction`.
   */
  readonly poolMode?: 'session' | 'transaction' | 'statement';
  /** Server connections for each user and database. With 1, every client meets the same one. Default 5. */
  readonly poolSize?: number;
  /** More settings, as in the section `[pgbouncer]` of pgbouncer.ini. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface Pgbouncer {
  /** The given URL, through the pooler. */
  readonly url: string;
  /** Its own console: `SHOW POOLS`, `PAUSE`, `KILL`; simple queries only. */
  readonly adminUrl: string;
  readonly origin: string;
  /** Ends it and cuts its clients off. May be called twice. */
  stop(): Promise<void>;
}

type ResolvedPgbouncerOptions = Required<PgbouncerOptions>;

const DEFAULTS = Object.freeze({ poolMode: 'transaction', poolSize: 5 } as const);
const REFUSED = ['listen_addr', 'listen_port', 'auth_type', 'auth_file', 'admin_users', 'unix_socket_dir', 'user'];
const HOST = '127.0.0.1';

/**
 * A pgbouncer of one's own before a Postgres: from `PATH`, or Debian's packages unpacked into a cache folder.
 *
 * @throws BackendUnavailableError when there is none; BackendFailedError when it does not start; OptionsInvalidError.
 */
export async function startPgbouncer(options: PgbouncerOptions): Promise<Pgbouncer> {
  const resolved = resolvePgbouncerOptions(options);
  const environment = readTestingEnvironment();
  return resolveBackend('pgbouncer', [
    {
      name: 'local binaries',
      remedy: 'Install pgbouncer (Debian: apt-get install pgbouncer), or put it on PATH.',
      async open() {
        const program = await findPgbouncer(environment);
        return 'reason' in program ? program : { backend: await startLocalPgbouncer(program, resolved) };
      },
    },
  ]);
}

function resolvePgbouncerOptions(options: PgbouncerOptions): ResolvedPgbouncerOptions {
  const known = ['databaseUrl', 'poolMode', 'poolSize', 'settings'] as const;
  const check = new OptionsCheck<PgbouncerOptions>('startPgbouncer()', options, known);
  const resolved = {
    databaseUrl: check.url('databaseUrl', ['postgres:', 'postgresql:']),
    poolMode: check.oneOf('poolMode', DEFAULTS.poolMode, ['session', 'transaction', 'statement']),
    poolSize: check.integer('poolSize', DEFAULTS.poolSize, { min: 1 }),
    settings: options.settings ?? {},
  };
  const { username = '', password = '' } = URL.canParse(resolved.databaseUrl) ? new URL(resolved.databaseUrl) : {};
  check.rule(username !== '' && password !== '', 'databaseUrl must name a user and a password');
  for (const name of Object.keys(resolved.settings))
    check.rule(!REFUSED.includes(name), `settings.${name} is decided by startPgbouncer(), leave it out`);
  check.finish();
  return resolved;
}

async function startLocalPgbouncer(found: LocalProgram, options: ResolvedPgbouncerOptions): Promise<Pgbouncer> {
  const account = unprivilegedAccount();
  const folder = createTempFolder('pgbouncer', account);
  try {
    const program = await runnableBy(account, found, folder);
    const url = new URL(options.databaseUrl);
    const port = await freePort();
    const configuration = await configure(folder, account, url, port, options);
    url.host = `${HOST}:${port}`;
    const adminUrl = new URL(url);
    adminUrl.pathname = '/pgbouncer';
    const server = new ServerProcess({
      name: 'pgbouncer',
      file: program.file,
      args: [configuration],
      env: program.env,
      cwd: folder.path,
      account,
      endSignal: 'SIGKILL',
      isReady: () => canConnect(adminUrl.href),
    });
    await server.up();
    const stop = async () => {
      await server.end();
      await folder.remove();
    };
    return { url: url.href, adminUrl: adminUrl.href, origin: program.origin, stop };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

/** Passwords are kept as they are: only so can it log in for clients at the server by SCRAM. */
async function configure(
  folder: TempFolder,
  account: Account | undefined,
  url: URL,
  port: number,
  { poolMode, poolSize, settings }: ResolvedPgbouncerOptions,
): Promise<string> {
  const [file, users] = ['pgbouncer.ini', 'users.txt'].map((name) => join(folder.path, name)) as [string, string];
  const user = decodeURIComponent(url.username);
  const all = {
    max_client_conn: 500,
    server_tls_sslmode: 'prefer',
    ...settings,
    pool_mode: poolMode,
    default_pool_size: poolSize,
    listen_addr: HOST,
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: users,
    admin_users: user,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const target = `* = host=${url.hostname} port=${url.port === '' ? 5432 : url.port}`;
  await writeFile(file, ['[databases]', target, '[pgbouncer]', ...lines, ''].join('\n'), { mode: 0o600 });
  await writeFile(users, `${quoted(user)} ${quoted(decodeURIComponent(url.password))}\n`, { mode: 0o600 });
  if (account !== undefined) for (const one of [file, users]) await chown(one, account.uid, account.gid);
  return file;
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
