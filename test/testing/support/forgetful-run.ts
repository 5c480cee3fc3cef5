/**
 * A run that starts everything and stops nothing. Prints one line of JSON with what must be gone after its death, and then does what its argument
 * says: `wait` for a signal, or `return` and forget.
 */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPgbouncer, startPostgres, startProcess, startRedis, startRedisCluster } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { processesNaming } from './leftovers.js';

const [postgres, redis, cluster, child] = await Promise.all([
  startPostgres({ exclusive: true }),
  startRedis({ exclusive: true }),
  startRedisCluster({ replicas: 0 }),
  startProcess({ entry: fileURLToPath(new URL('./sleeper.mjs', import.meta.url)) }),
]);
const pooler = await startPgbouncer({ databaseUrl: postgres.url });
const admin = new Client({ connectionString: pooler.adminUrl });
await admin.connect();
const settings = await admin.query<{ key: string; value: string }>('SHOW CONFIG');
await admin.end();
const poolerFolder = dirname(settings.rows.find(({ key }) => key === 'conffile')?.value ?? '');
const client = new Client({ connectionString: postgres.url });
client.on('error', () => undefined);
await client.connect();
const { rows } = await client.query<{ data_directory: string; pids: number[] }>(
  `SELECT current_setting('data_directory') AS data_directory, array_agg(pid) FILTER (WHERE pid <> pg_backend_pid()) AS pids FROM pg_stat_activity`,
);
await client.end();
const connection = new Redis(redis.url);
const info = await connection.info('server');
const [, dir = ''] = (await connection.config('GET', 'dir')) as string[];
await connection.quit();
const [first] = cluster.nodes;
const [, nodeFolder] = first === undefined ? [] : ((await cluster.command(first, 'CONFIG', 'GET', 'dir')) as string[]);
const clusterFolder = dirname(nodeFolder ?? '');
const [row] = rows;
if (row === undefined) throw new Error('Postgres shows no activity');
// A frozen server must not survive either.
if (process.argv[2] === 'frozen') {
  redis.freeze();
  for (const node of cluster.nodes.slice(1)) cluster.freeze(node);
}
process.stdout.write(
  `${JSON.stringify({
    uid: process.getuid?.(),
    pids: [
      ...row.pids,
      ...processesNaming(poolerFolder),
      Number(/process_id:(\d+)/.exec(info)?.[1]),
      child.pid,
      ...cluster.nodes.map(({ pid }) => pid),
    ],
    folders: [row.data_directory, row.data_directory.replace(/\/data$/, ''), dir, clusterFolder, poolerFolder],
  })}\n`,
);
if (process.argv[2] !== 'return') await new Promise((resolve) => setTimeout(resolve, 600_000));
