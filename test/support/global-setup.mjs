import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = fileURLToPath(new URL('shared-backends.ts', import.meta.url));

/** Starts the shared servers in a process that can load TypeScript, and hands their URLs to the suites by the environment. */
export default async function setUp() {
  const begun = performance.now();
  const loader = ['--conditions=@nest-baton/source', '--import', '@swc-node/register/esm-register'];
  const child = spawn(process.execPath, [...loader, script], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
  const [first] = await Promise.race([once(createInterface(child.stdout), 'line'), once(child, 'exit')]);
  if (typeof first !== 'string')
    throw new Error('The shared servers of the run did not start; the reason stands above.');
  const { postgres, redis } = JSON.parse(first);
  process.env.TEST_RUN_DATABASE_URL = postgres.url;
  process.env.TEST_RUN_REDIS_URL = redis.url;
  globalThis.sharedBackends = child;
  const took = Math.round(performance.now() - begun);
  console.log(`\nPostgres from ${postgres.origin}, Redis from ${redis.origin} (${took} ms)`);
}
