/**
 * A process with one service: `write` appends numbers of its own, `mixed` all kinds of calls to many streams, `listen` reads one stream until its end,
 * `endure` writes and reads whatever the server does, until the stream `over` ends. `TEST_CLOCK_SHIFT_MS` puts its clock wrong.
 */
import { createHash } from 'node:crypto';
import { PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { hintsUnderTest } from '@nest-baton/testing';

const shiftMs = Number(process.env['TEST_CLOCK_SHIFT_MS'] ?? 0);
const now = Date.now;
Date.now = () => now() + shiftMs;

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
if (mode === 'endure') {
  let isOver = false;
  const over = (async () => {
    for await (const _ of streams.read('over'));
    isOver = true;
  })();
  const reads = Array.from({ length: 5 }, async () => {
    const hash = createHash('sha256');
    for await (const { data } of streams.read(stream)) hash.update(data).update('\n');
    process.stdout.write(`READ ${hash.digest('hex')}\n`);
  });
  const writers = Array.from({ length: 4 }, async (_, nth) => {
    const name = `${process.pid}:writer ${nth}`;
    const writer = await streams.open(stream, { producer: { id: name, epoch: 1 } });
    let acknowledged = 0;
    while (!isOver) await writer.append(`${name}:${acknowledged++}`);
    process.stdout.write(`WRITTEN ${JSON.stringify({ name, acknowledged })}\n`);
  });
  // Without a producer a lost answer stays one: what counts is that an acknowledgement is never taken back.
  const callers = Array.from({ length: 4 }, async (_, nth) => {
    const name = `${process.pid}:caller ${nth}`;
    const acknowledged: number[] = [];
    for (let i = 0; !isOver; i++) {
      try {
        await streams.append(stream, `${name}:${i}`);
        acknowledged.push(i);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== 'APPEND_UNKNOWN' && code !== 'STREAM_UNAVAILABLE') throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    process.stdout.write(`CALLED ${JSON.stringify({ name, acknowledged })}\n`);
  });
  await Promise.all([over, ...writers, ...callers]);
  process.stdout.write('WROTE\n');
  await Promise.all(reads);
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
