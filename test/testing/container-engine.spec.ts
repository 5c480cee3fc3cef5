import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess } from '@nest-baton/testing';

const RESOLVE = fileURLToPath(new URL('./support/resolve-redis.ts', import.meta.url));

/** Answers what testcontainers asks before it needs an image, and cannot pull any: no engine runs where these tests are made. */
async function startEngine(socket: string, asked: string[]): Promise<Server> {
  const answers: readonly [RegExp, unknown][] = [
    [
      /\/info$/,
      {
        ServerVersion: '27.0.0',
        OperatingSystem: 'fake',
        OSType: 'linux',
        Architecture: 'x86_64',
        NCPU: 1,
        MemTotal: 1,
      },
    ],
    [/\/version$/, { Version: '27.0.0', ApiVersion: '1.46' }],
    // Asked only where the tests run in a container themselves.
    [/\/networks\/bridge$/, { IPAM: { Config: [{ Gateway: '127.0.0.1' }] } }],
    [/\/containers\/json/, []],
    [/\/images\/json/, []],
  ];
  const engine = createServer((request, response) => {
    const url = decodeURIComponent(request.url ?? '');
    asked.push(`${request.method} ${url}`);
    request.resume();
    if (url.endsWith('/_ping')) return void response.end('OK');
    const answer =
      request.method === 'GET' ? answers.find(([pattern]) => pattern.test(url.split('?')[0] ?? '')) : undefined;
    const status = answer !== undefined ? 200 : url.includes('/images/create') ? 500 : 404;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer?.[1] ?? { message: status === 500 ? 'the registry is down' : 'no such image' }));
  });
  engine.listen(socket);
  await once(engine, 'listening');
  return engine;
}

describe('a container engine that answers', () => {
  let folder: string;
  let engine: Server;
  let asked: string[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-engine-'));
    asked = [];
    engine = await startEngine(join(folder, 'docker.sock'), asked);
  });

  afterEach(async () => {
    engine.closeAllConnections();
    engine.close();
    await rm(folder, { recursive: true });
  });

  async function resolveWith(env: Record<string, string>): Promise<unknown> {
    const child = await startProcess({
      entry: RESOLVE,
      env: { DOCKER_HOST: `unix://${folder}/docker.sock`, TESTCONTAINERS_RYUK_DISABLED: 'true', ...env },
    });
    const line = await child.waitForLine(/^\{/, 25_000);
    await child.exited;
    return JSON.parse(line);
  }

  it('is asked for the image, and its failure is reported instead of a fall back to local binaries', async () => {
    expect(await resolveWith({})).toEqual({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(
        /^A container engine answers, but it could not start redis:7-alpine: .*the registry is down.*TEST_BACKENDS=local/s,
      ) as string,
    });
    expect(asked[0]).toBe('GET /_ping');
    expect(asked.find((line) => line.includes('/images/create'))).toMatch(/fromImage=.*redis.*7-alpine/);
  });

  it('is left alone with TEST_BACKENDS=local, and where a URL is given', async () => {
    expect(await resolveWith({ TEST_REDIS_URL: 'redis://given' })).toEqual({ origin: 'TEST_REDIS_URL' });
    expect(await resolveWith({ TEST_BACKENDS: 'local' })).toEqual({ origin: expect.any(String) as string });
    expect(asked).toEqual([]);
  });
});
