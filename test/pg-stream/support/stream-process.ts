/** A process with one service: `write` appends numbers of its own, `mixed` all kinds of calls to many streams, `listen` reads one stream until its end. */
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
if (mode === 'mixed') {
  // Streams in another order for each caller, of all kinds of calls, so that flushes of several processes meet in every way.
  const mine = `p-${process.pid}`;
  const seqs = new Map<string, number>();
  let stored = 0;
  await Promise.all(
    Array.from({ length: 24 }, async (_, caller) => {
      for (let i = 0; i < Number(count); i++) {
        const name = `${stream} ${(caller * 7 + i * (1 + (process.pid % 5)) + caller * i) % 30}`;
        const text = `${process.pid}:${caller}:${i}`;
        if (i % 3 === 0) {
          await streams.appendMany(name, [text, `${text}+`]);
          stored += 2;
        } else if (caller === 0) {
          const seq = seqs.get(name) ?? 0;
          seqs.set(name, seq + 1);
          await streams.append(name, text, { producer: { id: mine, epoch: 1, seq } });
          stored++;
        } else {
          await streams.append(name, text);
          stored++;
        }
      }
    }),
  );
  process.stdout.write(`STORED ${stored}\n`);
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
