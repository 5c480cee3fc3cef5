/** A process with one service: `write` appends un-awaited numbers of its own, `listen` reads one stream until its end. */
import { PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { hintsUnderTest } from '@nest-baton/testing';

const [mode, url = '', stream = '', count = '0', shared = ''] = process.argv.slice(2);
const streams = new PgStreamService(
  'default',
  resolvePgStreamOptions({ connectionString: url, hints: hintsUnderTest() }),
);
await streams.onModuleInit();
process.stdout.write('READY\n');
if (mode === 'write') {
  await Promise.all(
    Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; i < Number(count); i++) await streams.append(stream, `${process.pid}:${writer}:${i}`);
    }),
  );
}
if (mode === 'retry') {
  // The other process sends the same calls: each is stored once, whoever comes first.
  const accepted = [];
  for (let seq = 0; seq < Number(count); seq++) {
    const producer = { id: shared, epoch: 1, seq };
    if (!(await streams.append(stream, `${seq}`, { producer })).duplicate) accepted.push(seq);
  }
  process.stdout.write(`ACCEPTED ${accepted.length}\n`);
}
if (mode === 'listen') {
  streams.on('listening', ({ reconnects }) => void process.stdout.write(`LISTENING ${reconnects}\n`));
  let read = '';
  for await (const { data } of streams.read(stream)) {
    const text = Buffer.from(data).toString();
    process.stdout.write(`GOT ${text}\n`);
    read += text;
  }
  process.stdout.write(`READ ${read}\n`);
}
await streams.beforeApplicationShutdown();
await streams.onApplicationShutdown();
process.stdout.write('DONE\n');
