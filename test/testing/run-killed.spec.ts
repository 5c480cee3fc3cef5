import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '@nest-baton/testing';
import { areGone, isAlive } from './support/leftovers.js';
import { openCheckout } from './support/open-checkout.js';

const RUN = fileURLToPath(new URL('./support/forgetful-run.ts', import.meta.url));
const NOBODY = 65_534;

interface Started {
  readonly uid: number;
  readonly pids: readonly number[];
  readonly folders: readonly string[];
}

describe('a run that dies before it has stopped its servers', () => {
  let run: ChildProcess;

  async function start(mode: string, entry = RUN, options: SpawnOptions = {}): Promise<Started> {
    const flags = ['--conditions=@nest-baton/source', '--import', '@swc-node/register/esm-register'];
    run = spawn(process.execPath, [...flags, entry, mode], { stdio: ['ignore', 'pipe', 'inherit'], ...options });
    const [line] = (await Promise.race([
      once(createInterface({ input: run.stdout as NodeJS.ReadableStream }), 'line'),
      once(run, 'exit').then(([code]) => Promise.reject(new Error(`the run ended with ${code} before it had started`))),
    ])) as [string];
    return JSON.parse(line) as Started;
  }

  async function expectNothingLeft({ pids, folders }: Started): Promise<void> {
    await waitFor(() => areGone(pids, folders), { timeoutMs: 8000, description: 'processes and folders are gone' });
  }

  afterEach(() => {
    if (run.exitCode === null && run.signalCode === null) run.kill('SIGKILL');
  });

  it('leaves no process and no folder after SIGKILL', async () => {
    const started = await start('wait');
    // Postgres with its children, a pgbouncer, a Redis, three nodes of a cluster, and a child.
    expect(started.pids.length).toBeGreaterThanOrEqual(7);
    expect(started.folders).toHaveLength(5);
    expect(started.pids.every(isAlive)).toBe(true);
    run.kill('SIGKILL');
    await expectNothingLeft(started);
  });

  it('leaves nothing after a Ctrl-C', async () => {
    const started = await start('wait');
    run.kill('SIGINT');
    await expectNothingLeft(started);
  });

  it('leaves nothing when a server was frozen at that moment', async () => {
    const started = await start('frozen');
    run.kill('SIGKILL');
    await expectNothingLeft(started);
  });

  it('ends by itself, and leaves nothing, when it forgot to stop them', async () => {
    const started = await start('return');
    if (run.exitCode === null) await once(run, 'exit');
    expect(run.exitCode).toBe(0);
    await expectNothingLeft(started);
  });

  it('works for an ordinary user as well', async () => {
    const isRoot = process.getuid?.() === 0;
    const checkout = await openCheckout();
    try {
      const entry = join(checkout.root, 'test/testing/support/forgetful-run.ts');
      const account = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
      const started = await start('wait', entry, { cwd: checkout.root, ...account });
      expect(started.uid).not.toBe(0);
      run.kill('SIGKILL');
      await expectNothingLeft(started);
    } finally {
      await checkout.remove();
    }
  });
});
