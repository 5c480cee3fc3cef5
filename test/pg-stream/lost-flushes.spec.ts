import { type PgStreamService, PgStreamService as Service, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { FaultProxy, startPostgres, waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const WRITERS = 16;

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

/** Each writer has a producer and a stream of its own, and awaits every tenth call. */
async function writeWhile(service: PgStreamService, name: string, isGoingOn: () => boolean): Promise<number[]> {
  return Promise.all(
    Array.from({ length: WRITERS }, async (_, w) => {
      const writer = await service.open(`${name} ${w}`, { producer: { id: 'p', epoch: 1 } });
      let count = 0;
      while (isGoingOn() || count === 0) {
        await Promise.all(Array.from({ length: 10 }, (_, i) => writer.append(`${count + i}`)));
        count += 10;
      }
      await writer.close();
      return count;
    }),
  );
}

async function expectExactly(name: string, counts: readonly number[]): Promise<void> {
  for (const [w, count] of counts.entries())
    expect(await textsOf(streams.read(`${name} ${w}`))).toEqual(Array.from({ length: count }, (_, i) => `${i}`));
}

/** Calls of nobody in particular, each with data of its own; each ends in one of the states that its caller can act on. */
async function plainWhile(
  service: PgStreamService,
  name: string,
  isGoingOn: () => boolean,
): Promise<Map<string, string>> {
  const outcomes = new Map<string, string>();
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, w) => {
      for (let i = 0; isGoingOn(); i++) {
        const outcome = await service.append(`${name} ${w % 4}`, `${w}:${i}`).then(
          () => 'stored',
          (error: { code?: string }) => error.code ?? 'untyped',
        );
        outcomes.set(`${w}:${i}`, outcome);
        if (outcome !== 'stored') await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }),
  );
  return outcomes;
}

/** What was told to be stored is there once, what was told not to be is not, and the unknown may be there once. */
async function expectHonest(name: string, outcomes: ReadonlyMap<string, string>): Promise<void> {
  const there = new Map<string, number>();
  for (let w = 0; w < 4; w++) {
    // Perhaps none got through.
    await streams.open(`${name} ${w}`);
    for (const text of await textsOf(streams.read(`${name} ${w}`, { live: false })))
      there.set(text, (there.get(text) ?? 0) + 1);
  }
  const wrong = [...outcomes].filter(([text, outcome]) => {
    const times = there.get(text) ?? 0;
    if (outcome === 'stored') return times !== 1;
    return outcome === 'APPEND_UNKNOWN' ? times > 1 : times > 0 || outcome !== 'STREAM_UNAVAILABLE';
  });
  expect(wrong).toEqual([]);
}

describe('the connection on which commits are shared', () => {
  it('may be terminated again and again: producers are stored once, and everybody is told the truth', async () => {
    let kills = 0;
    const isGoingOn = () => kills < 15;
    const written = writeWhile(streams, 'killed', isGoingOn);
    const plain = plainWhile(streams, 'killed plain', isGoingOn);
    for (; isGoingOn(); kills++) {
      await waitFor(async () => (await world.terminate('stream_write')) > 0, { description: 'a flusher' });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await expectExactly('killed', await written);
    await expectHonest('killed plain', await plain);
  }, 30_000);

  it('may be cut before the statement has arrived, or before its answer has', async () => {
    const proxy = await FaultProxy.start({ target: world.url });
    try {
      const cut = await world.service({ connectionString: proxy.url, hints: 'off' });
      let cuts = 0;
      const isGoingOn = () => cuts < 20;
      const written = writeWhile(cut, 'cut', isGoingOn);
      const plain = plainWhile(cut, 'cut plain', isGoingOn);
      for (; isGoingOn(); cuts++) {
        await new Promise((resolve) => setTimeout(resolve, 25));
        proxy.cut();
      }
      await expectExactly('cut', await written);
      await expectHonest('cut plain', await plain);
    } finally {
      await proxy.stop();
    }
  }, 30_000);
});

describe('a network path that swallows everything', () => {
  it('is given up in bounded time: producers are stored once over a new connection, the others are told', async () => {
    const proxy = await FaultProxy.start({ target: world.url });
    try {
      const service = await world.service({ connectionString: proxy.url, hints: 'off' });
      const writer = await service.open('hole', { producer: { id: 'p', epoch: 1 } });
      await writer.append('0');
      proxy.blackHole();
      const begun = performance.now();
      const calls = [writer.append('1'), writer.append('2')];
      const plain = service.append('hole plain', 'x').catch((error: unknown) => error);
      expect(await plain).toMatchObject({ code: 'APPEND_UNKNOWN', retryable: true });
      expect(performance.now() - begun).toBeLessThan(13_000);
      await proxy.heal();
      expect((await Promise.all(calls)).map(({ lastIndex }) => lastIndex)).toEqual([1, 2]);
      await writer.close();
      expect(await textsOf(streams.read('hole'))).toEqual(['0', '1', '2']);
    } finally {
      await proxy.stop();
    }
  }, 40_000);
});

describe('a server that crashes under load', () => {
  it('loses nothing that was acknowledged, and stores nothing twice', async () => {
    const server = await startPostgres({ exclusive: true });
    const service = new Service('crash', resolvePgStreamOptions({ connectionString: server.url }));
    const own = streams;
    try {
      await service.onModuleInit();
      streams = service;
      let restarts = 0;
      const isGoingOn = () => restarts < 2;
      const written = writeWhile(service, 'crash', isGoingOn);
      const plain = plainWhile(service, 'crash plain', isGoingOn);
      for (; isGoingOn(); restarts++) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        await server.restart('immediate');
      }
      await expectExactly('crash', await written);
      await expectHonest('crash plain', await plain);
    } finally {
      streams = own;
      await service.beforeApplicationShutdown();
      await service.onApplicationShutdown();
      await server.stop();
    }
  }, 40_000);
});
