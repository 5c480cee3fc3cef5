/** A process that reads one stream twelve times one after another and twelve times at once, all with one signal; it says what listens to that in the end, and what Node warned of. */
import { getEventListeners } from 'node:events';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';

const READS = 12;

const [url = '', stream = ''] = process.argv.slice(2);
const warnings: string[] = [];
process.on('warning', ({ name }) => void warnings.push(name));
process.stdout.write('READY\n');

const streams = new PgStreamService('default', resolvePgStreamOptions({ connectionString: url, sweepInterval: 0 }));
await streams.onModuleInit();
const { signal } = new AbortController();
let chunks = 0;
const read = async (): Promise<void> => {
  for await (const chunk of streams.read(stream, { signal })) chunks += Number(chunk.data.length > 0);
};
for (let i = 0; i < READS; i++) await read();
await Promise.all(Array.from({ length: READS }, read));
process.stdout.write(`CHUNKS ${chunks}\nLISTENERS ${getEventListeners(signal, 'abort').length}\n`);
await streams.beforeApplicationShutdown();
await streams.onApplicationShutdown();
await endOfTurn();
process.stdout.write(`WARNINGS ${JSON.stringify(warnings)}\n`);
