import { chmodSync, chownSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Account } from './account.js';
import { guard } from './guard.js';

/** A folder under the system's temp folder that is removed by `remove()`, or by the guard when this process dies first. */
export interface TempFolder {
  readonly path: string;
  remove(): Promise<void>;
}

export function createTempFolder(prefix: string, owner?: Account): TempFolder {
  const path = mkdtempSync(join(tmpdir(), `baton-${prefix}-`));
  guard.keepFolder(path);
  chmodSync(path, 0o700);
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
      guard.releaseFolder(path);
    },
  };
}
