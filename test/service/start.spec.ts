import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type ChildWorker, freePort, startProcess, waitFor } from '@nest-baton/testing';
import { RunWorld } from './support/run-service.js';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('a service that cannot start', () => {
  let world: RunWorld;
  let child: ChildWorker | undefined;

  beforeAll(async () => {
    world = await RunWorld.create();
  });

  afterEach(async () => {
    await child?.stop();
  });

  afterAll(async () => {
    await world.stop();
  });

  async function outputOf(env: Record<string, string>): Promise<string> {
    child = await startProcess({ entry: MAIN, env });
    expect(await child.exited).toMatchObject({ code: 1 });
    return child.lines.join('\n');
  }

  it('names all missing URLs in one report when nothing is configured', async () => {
    const output = await outputOf({});
    expect(output).toContain('Baton did not start.');
    for (const name of ['BATON_DATABASE_URL', 'BATON_REDIS_URL', 'BATON_INGEST_URL']) expect(output).toContain(name);
    expect(output).not.toMatch(/^\s+at /m);
  });

  it('says of each unreachable server what to do, in a sentence', async () => {
    const [pg, redis] = [await freePort(), await freePort()];
    const output = await outputOf(
      world.environment({
        BATON_DATABASE_URL: `postgres://u:p@127.0.0.1:${pg}/x`,
        BATON_REDIS_URL: `redis://127.0.0.1:${redis}`,
      }),
    );
    expect(output).toContain(`Postgres at 127.0.0.1:${pg} cannot be used, nothing listens there: start Postgres`);
    expect(output).toContain(`Redis at 127.0.0.1:${redis} cannot be used, nothing listens there: start Redis`);
    expect(output).not.toMatch(/^\s+at /m);
  });

  it('says that its port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      const output = await outputOf(world.environment({ BATON_PORT: `${port}`, POD_NAME: 'x' }));
      expect(output).toContain(`Port ${port} on 127.0.0.1 is in use`);
    } finally {
      server.close();
    }
  });
});

describe('a service that is told to stop', () => {
  it('ends by itself on SIGTERM, with readers connected', async () => {
    const world = await RunWorld.create();
    const port = await freePort();
    const child = await startProcess({
      entry: MAIN,
      env: world.environment({ BATON_PORT: `${port}`, BATON_RUNS_PACE: '1s', POD_NAME: 'x' }),
    });
    try {
      const isUp = async () => (await fetch(`http://127.0.0.1:${port}/health/live`).catch(() => undefined))?.ok;
      await waitFor(isUp, { timeoutMs: 30_000, description: 'the service listens' });
      const response = await fetch(`http://127.0.0.1:${port}/runs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: 'a\nb\nc\nd\ne\nf\ng\nh\n' }),
      });
      const { id } = (await response.json()) as { id: string };
      const stream = await fetch(`http://127.0.0.1:${port}/runs/${id}/stream`);
      const read = stream.text();
      child.signal('SIGTERM');
      expect(await child.exited).toMatchObject({ signal: 'SIGTERM' });
      expect(await read).not.toContain('event: end');
    } finally {
      await child.stop();
      await world.stop();
    }
  });
});
