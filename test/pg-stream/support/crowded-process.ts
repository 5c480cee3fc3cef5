/** A process many of whose calls wait at once, for one connection and then for a stream to move; it says what Node warned of. */
import { PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import pg from 'pg';

const [url = ''] = process.argv.slice(2);
const warnings: string[] = [];
process.on('warning', ({ name }) => void warnings.push(name));
process.stdout.write('READY\n');

const pool = new pg.Pool({ connectionString: url, max: 1 });
const streams = new PgStreamService('default', resolvePgStreamOptions({ pool, sweepInterval: 0 }));
await streams.onModuleInit();
const held = await pool.connect();
const infos = Array.from({ length: 50 }, () => streams.info('nobody').catch(() => undefined));
await new Promise((resolve) => setTimeout(resolve, 100));
held.release();
await Promise.all(infos);

const reads = Array.from({ length: 50 }, async (_, i) => {
  for await (const chunk of streams.read(`${i % 25}`)) void chunk;
}).map((read) => read.catch(() => undefined));
while (streams.stats().waitingStreams < 25) await new Promise((resolve) => setTimeout(resolve, 10));
await streams.beforeApplicationShutdown();
await Promise.all(reads);
await streams.onApplicationShutdown();
await pool.end();
process.stdout.write(`WARNINGS ${JSON.stringify(warnings)}\n`);
