import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess, waitFor } from '@nest-baton/testing';

const DEMO = fileURLToPath(new URL('../../demo/main.ts', import.meta.url));

/** Data folders of servers; the TypeScript loader keeps its cache beside them. */
function dataFolders(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => name.startsWith('baton-'));
}

/** Every process that was started with this folder for temporary files: what the demo starts inherits it. */
function processesUsing(folder: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`TMPDIR=${folder}\0`);
    } catch {
      return false; // gone, or somebody else's
    }
  });
}

describe('the demo, interrupted', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-demo-'));
    await chmod(folder, 0o755); // Postgres runs under another account when this one is root
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it.each([
    ['SIGINT', 'while its processes start', /^Phase 1/],
    ['SIGINT', 'in the middle of the runs', /runs \d+\/20 {2}written [1-9]/],
    ['SIGTERM', 'while its processes start', /^Phase 1/],
    ['SIGKILL', 'in the middle of the runs', /runs \d+\/20 {2}written [1-9]/],
  ] as const)('leaves no process and no folder behind after %s %s', async (signal, _when, line) => {
    const demo = await startProcess({ entry: DEMO, env: { TMPDIR: folder } });
    await demo.waitForLine(line, 25_000);
    expect(dataFolders(folder)).toHaveLength(2);
    expect(processesUsing(folder)).toContain(`${demo.pid}`);
    demo.signal(signal);
    expect(await demo.exited).toEqual(signal === 'SIGKILL' ? { code: null, signal } : { code: 130, signal: null });
    await waitFor(() => processesUsing(folder).length === 0, { description: 'every process has ended' });
    await waitFor(() => dataFolders(folder).length === 0, { description: 'every folder is removed' });
  });
});
