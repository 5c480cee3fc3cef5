import type { Random } from '@nest-baton/core';
import { type Chunk, PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { assertConservation, type ExclusivePostgres, FaultProxy, startPostgres } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { breakThings, inParallel, soak, untilDone } from './support/soak.js';

const STREAMS = 6;
const READERS_EACH = 2;

Logger.overrideLogger(false);

let server: ExclusivePostgres;
let path: FaultProxy;
const services: PgStreamService[] = [];
beforeEach(async () => {
  server = await startPostgres({ exclusive: true });
  path = await FaultProxy.start({ target: server.url });
});
afterEach(async () => {
  for (const service of services.splice(0)) {
    await service.beforeApplicationShutdown();
    await service.onApplicationShutdown();
  }
  await path.stop();
  await server.stop();
});

async function start(): Promise<PgStreamService> {
  const service = new PgStreamService(
    'default',
    resolvePgStreamOptions({ connectionString: path.url, pollInterval: '250ms' }),
  );
  services.push(service);
  await service.onModuleInit();
  return service;
}

describe('a Postgres that drops its connections, keeps its answers and crashes', () => {
  soak('gives every reader each acknowledged chunk once, in order, and the end', async (soaking) => {
    const [writing, reading] = [await start(), await start()];
    const written = new Map<string, string[]>();
    const breaking = breakThings(soaking, 600, breakSomething);
    const readers = Array.from({ length: STREAMS * READERS_EACH }, (_, reader) =>
      readWhole(reading, `s${reader % STREAMS}`),
    );
    await inParallel(soaking, STREAMS, async (stream, random, seq) => {
      const name = `s${stream}`;
      const chunk = `${name}:${seq}`;
      await untilDone(() => writing.append(name, chunk, { producer: { id: 'p', epoch: 1, seq } }));
      written.set(name, [...(written.get(name) ?? []), chunk]);
      if (random() < 0.5) await sleep(random() * 10);
    });
    await breaking;
    for (const name of written.keys()) await untilDone(() => writing.closeStream(name));
    for (const [reader, read] of (await Promise.all(readers)).entries()) {
      const admitted = written.get(`s${reader % STREAMS}`) ?? [];
      assertConservation({ what: 'chunks', admitted, ended: { read } });
      expect(read).toEqual(admitted);
    }
    expect(written.size).toBe(STREAMS);
  });
});

async function breakSomething(random: Random): Promise<void> {
  const chance = random();
  if (chance < 0.1) await server.restart('immediate');
  else if (chance < 0.4) await server.terminateBackends();
  else if (chance < 0.6) path.cut();
  else {
    // What is committed meanwhile is not answered.
    path.blackHole('toClient');
    await sleep(random() * 200);
    await path.heal();
  }
}

/** As a client does: whatever breaks the reader, it goes on behind the last chunk that it has. */
async function readWhole(streams: PgStreamService, stream: string): Promise<string[]> {
  const texts: string[] = [];
  let last: Chunk | undefined;
  await untilDone(async () => {
    for await (const chunk of streams.read(stream, { ...(last && { cursor: last.cursor }) })) {
      expect(chunk.index).toBe(last === undefined ? 0 : last.index + 1);
      texts.push(Buffer.from(chunk.data).toString());
      last = chunk;
    }
  });
  return texts;
}
