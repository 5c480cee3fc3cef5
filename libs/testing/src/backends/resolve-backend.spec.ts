import { readTestingEnvironment } from '../environment.js';
import { postgresWays } from '../postgres/start-postgres.js';
import { redisWays } from '../redis/start-redis.js';
import { engineAddresses } from './container-engine.js';
import { type BackendWay, resolveBackend } from './resolve-backend.js';

function closed(name: string, asked: string[]): BackendWay<string> {
  return {
    name,
    remedy: `Open ${name}.`,
    open: () => {
      asked.push(name);
      return Promise.resolve({ reason: `${name} is closed` });
    },
  };
}

describe('resolveBackend', () => {
  it('takes the first way that is open and asks none after it', async () => {
    const asked: string[] = [];
    const open: BackendWay<string> = { ...closed('b', asked), open: () => Promise.resolve({ backend: 'found' }) };
    expect(await resolveBackend('Redis', [closed('a', asked), open, closed('c', asked)])).toBe('found');
    expect(asked).toEqual(['a']);
  });

  it('names each way, why it is closed and what opens it, when none is open', async () => {
    await expect(resolveBackend('Redis', [closed('a', []), closed('b', [])])).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: [
        'No Redis for the tests. Any one of these will do:',
        '  - a: a is closed. Open a.',
        '  - b: b is closed. Open b.',
      ].join('\n'),
    });
  });

  it('does not fall back when a way that is open fails', async () => {
    const asked: string[] = [];
    const failing: BackendWay<string> = { ...closed('a', asked), open: () => Promise.reject(new Error('broken')) };
    await expect(resolveBackend('Redis', [failing, closed('b', asked)])).rejects.toThrow('broken');
    expect(asked).toEqual([]);
  });
});

describe('the ways to a backend', () => {
  const environment = readTestingEnvironment({
    TEST_DATABASE_URL: 'postgres://somewhere/test',
    TEST_REDIS_URL: 'redis://somewhere',
    HOME: '/nowhere',
    PATH: '/nowhere',
    DOCKER_HOST: 'unix:///nowhere/docker.sock',
    TEST_BACKENDS: '',
  });

  it('are the URL, the engine and local binaries, in this order', () => {
    expect(postgresWays(environment).map(({ name }) => name)).toEqual([
      'TEST_DATABASE_URL',
      'a container engine',
      'local binaries',
    ]);
    expect(redisWays(environment).map(({ name }) => name)).toEqual([
      'TEST_REDIS_URL',
      'a container engine',
      'local binaries',
    ]);
  });

  it('use a URL without touching its server', async () => {
    const postgres = await resolveBackend('Postgres', postgresWays(environment));
    expect(postgres).toMatchObject({ url: 'postgres://somewhere/test', origin: 'TEST_DATABASE_URL' });
    await postgres.stop();
    expect(await resolveBackend('Redis', redisWays(environment))).toMatchObject({ url: 'redis://somewhere' });
  });

  it('say of the engine whether it was skipped or does not answer', async () => {
    const engine = (env: object) => redisWays({ ...environment, ...env })[1]?.open();
    expect(await engine({})).toEqual({ reason: 'none answers' });
    expect(await engine({ isLocalOnly: true })).toEqual({ reason: 'skipped, since TEST_BACKENDS=local' });
  });

  it('do not go past a folder that was named and holds no server', async () => {
    const given = { ...environment, postgresBinDir: '/nowhere', redisBinDir: '/nowhere' };
    expect(await postgresWays(given)[2]?.open()).toEqual({
      reason: 'PG_BIN_DIR is /nowhere, where initdb and postgres are not both found',
    });
    expect(await redisWays(given)[2]?.open()).toEqual({
      reason: 'REDIS_BIN_DIR is /nowhere, where no redis-server is found',
    });
  });
});

describe('engineAddresses', () => {
  const of = (env: NodeJS.ProcessEnv) => engineAddresses(readTestingEnvironment({ HOME: '/home/me', ...env }));

  it('are the usual sockets without DOCKER_HOST', () => {
    expect(of({ XDG_RUNTIME_DIR: '/run/user/1' })).toEqual([
      { socketPath: '/var/run/docker.sock' },
      { socketPath: '/home/me/.docker/run/docker.sock' },
      { socketPath: '/home/me/.colima/default/docker.sock' },
      { socketPath: '/run/user/1/docker.sock' },
    ]);
  });

  it.each([
    ['unix:///a/b.sock', [{ socketPath: '/a/b.sock' }]],
    ['tcp://engine:1234', [{ host: 'engine', port: 1234 }]],
    ['tcp://engine', [{ host: 'engine', port: 2375 }]],
    ['ssh://engine', []],
    ['nonsense', []],
  ])('are what DOCKER_HOST=%s names', (dockerHost, expected) => {
    expect(of({ DOCKER_HOST: dockerHost })).toEqual(expected);
  });
});
