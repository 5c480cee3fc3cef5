import { execFileSync } from 'node:child_process';
import { BackendFailedError } from '../testing.errors.js';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Postgres refuses to run as root: when this process is root, an account without rights that exists on every Linux; else `undefined`. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = [idOf('-u', name), idOf('-g', name)];
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new BackendFailedError(
    'Postgres refuses to run as root, and neither the account "postgres" nor "nobody" exists: add one, or run as an ordinary user.',
  );
}

function idOf(which: '-u' | '-g', name: string): number | undefined {
  try {
    return Number(execFileSync('id', [which, name], { stdio: ['ignore', 'pipe', 'ignore'] }).toString());
  } catch {
    return undefined;
  }
}
