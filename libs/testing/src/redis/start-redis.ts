import { containerWay, type ContainerPlan } from '../backends/container-engine.js';
import { type BackendWay, resolveBackend } from '../backends/resolve-backend.js';
import { readTestingEnvironment, type TestingEnvironment } from '../environment.js';
import { freePort } from '../processes/free-port.js';
import { ServerProcess } from '../processes/server-process.js';
import { createTempFolder } from '../processes/temp-folder.js';
import { answersPing } from './answers-ping.js';
import { findRedisBinary, REDIS_BINARY_REMEDY, type RedisBinary } from './redis-binary.js';

/** A Redis that others may use too: keys under a prefix of your own, no FLUSHALL, no CONFIG SET. */
export interface RedisServer {
  readonly url: string;
  /** Where it came from: `TEST_REDIS_URL`, `testcontainers`, a folder, `Debian packages`. */
  readonly origin: string;
  /** Stops the server; one that was given by URL goes on. May be called twice. */
  stop(): Promise<void>;
}

/** A local Redis of one's own, which may be broken. Nothing is written to disk: after `kill()` or `restart()` it is empty. */
export interface ExclusiveRedis extends RedisServer {
  /** SIGSTOP: connections stay open and get no answer. @throws BackendFailedError when it is dead. */
  freeze(): void;
  /** Lets it go on; does nothing when it was not frozen, or is dead. */
  thaw(): void;
  /** SIGKILL; returns when it is gone. `restart()` brings it up again. */
  kill(): Promise<void>;
  /** Down and up again on the same port, empty. */
  restart(): Promise<void>;
}

const CONTAINER: ContainerPlan = {
  image: 'redis:7-alpine',
  port: 6379,
  environment: {},
  command: ['redis-server', '--save', '', '--appendonly', 'no'],
  readyLine: [/Ready to accept connections/, 1],
};

/**
 * A real Redis: `TEST_REDIS_URL`, a container where an engine answers, `redis-server` of the system, or Debian's packages unpacked into a cache
 * folder. An exclusive one is always a local process.
 *
 * @throws BackendUnavailableError when there is no way to one; BackendFailedError when the way that was taken failed.
 */
export function startRedis(options: { readonly exclusive: true }): Promise<ExclusiveRedis>;
export function startRedis(options?: { readonly exclusive?: false }): Promise<RedisServer>;
export function startRedis({ exclusive = false }: { readonly exclusive?: boolean } = {}): Promise<RedisServer> {
  const environment = readTestingEnvironment();
  if (exclusive) return resolveBackend('exclusive Redis', [localWay(environment)]);
  return resolveBackend<RedisServer>('Redis', redisWays(environment));
}

/** In the order in which they are tried. */
export function redisWays(environment: TestingEnvironment): readonly BackendWay<RedisServer>[] {
  return [
    {
      name: 'TEST_REDIS_URL',
      remedy: 'Set it to the URL of a Redis that is used for nothing else.',
      open() {
        const url = environment.redisUrl;
        if (url === undefined) return Promise.resolve({ reason: 'not set' });
        return Promise.resolve({ backend: { url, origin: 'TEST_REDIS_URL', stop: () => Promise.resolve() } });
      },
    },
    containerWay(environment, CONTAINER, ({ host, port, stop }) => ({
      url: `redis://${host}:${port}`,
      origin: 'testcontainers',
      stop,
    })),
    localWay(environment),
  ];
}

function localWay(environment: TestingEnvironment): BackendWay<ExclusiveRedis> {
  return {
    name: 'local binaries',
    remedy: REDIS_BINARY_REMEDY,
    async open() {
      const binary = await findRedisBinary(environment);
      return 'reason' in binary ? binary : { backend: await startLocalRedis(binary) };
    },
  };
}

async function startLocalRedis(binary: RedisBinary): Promise<ExclusiveRedis> {
  const folder = createTempFolder('redis');
  try {
    const port = await freePort();
    const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder.path, '--save', '', '--appendonly', 'no'];
    const server = new ServerProcess({
      name: 'redis-server',
      file: binary.file,
      args: [...args, '--daemonize', 'no'],
      env: binary.env,
      cwd: folder.path,
      account: undefined,
      endSignal: 'SIGKILL',
      isReady: () => answersPing(port),
    });
    await server.up();
    return exclusiveRedis(`redis://127.0.0.1:${port}`, binary.origin, server, () => folder.remove());
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

function exclusiveRedis(
  url: string,
  origin: string,
  server: ServerProcess,
  removeFolder: () => Promise<void>,
): ExclusiveRedis {
  return {
    url,
    origin,
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    kill: () => server.down('SIGKILL'),
    async restart() {
      await server.down();
      await server.up();
    },
    async stop() {
      await server.end();
      await removeFolder();
    },
  };
}
