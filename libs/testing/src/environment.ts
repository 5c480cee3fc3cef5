import { homedir } from 'node:os';

/** What this package reads from the environment, in one place. */
export interface TestingEnvironment {
  /** `TEST_DATABASE_URL`: a Postgres to use instead of starting one. Never a production variable: suites create and drop databases there. */
  readonly databaseUrl: string | undefined;
  /** `TEST_REDIS_URL`: a Redis to use instead of starting one. */
  readonly redisUrl: string | undefined;
  /** `TEST_QUICKWIT_URL`: a real Quickwit, to which what is said of the fake one is put as well. Indexes are created and deleted there. */
  readonly quickwitUrl: string | undefined;
  /** `TEST_BACKENDS=local`: skip the container engine. */
  readonly isLocalOnly: boolean;
  /** `PG_BIN_DIR`: the folder of `initdb` and `postgres`, before any other. */
  readonly postgresBinDir: string | undefined;
  /** `REDIS_BIN_DIR`: the folder of `redis-server`, before any other. */
  readonly redisBinDir: string | undefined;
  /** `TEST_RUN_DATABASE_URL`, set by the run's set-up: the server that all suites of the run share. */
  readonly runDatabaseUrl: string | undefined;
  /** `TEST_RUN_REDIS_URL`, set by the run's set-up. */
  readonly runRedisUrl: string | undefined;
  /** `TEST_HINTS=off`: the suites run their modules with hints off. */
  readonly hints: 'on' | 'off';
  /** `SLOW_SEED`: the seed of a soak test's schedule; without it each run takes one of its own. */
  readonly slowSeed: string | undefined;
  /** `SLOW_SECONDS`: how long each soak test goes on, in seconds. */
  readonly slowSeconds: string | undefined;
  readonly dockerHost: string | undefined;
  readonly runtimeDir: string | undefined;
  readonly home: string;
  readonly path: string;
}

/** The only reader of `process.env` in this package. An empty variable counts as not set. */
export function readTestingEnvironment(env: NodeJS.ProcessEnv = process.env): TestingEnvironment {
  const text = (name: string) => (env[name] === '' ? undefined : env[name]);
  return {
    databaseUrl: text('TEST_DATABASE_URL'),
    redisUrl: text('TEST_REDIS_URL'),
    quickwitUrl: text('TEST_QUICKWIT_URL')?.replace(/\/+$/, ''),
    isLocalOnly: text('TEST_BACKENDS') === 'local',
    postgresBinDir: text('PG_BIN_DIR'),
    redisBinDir: text('REDIS_BIN_DIR'),
    runDatabaseUrl: text('TEST_RUN_DATABASE_URL'),
    runRedisUrl: text('TEST_RUN_REDIS_URL'),
    hints: text('TEST_HINTS') === 'off' ? 'off' : 'on',
    slowSeed: text('SLOW_SEED'),
    slowSeconds: text('SLOW_SECONDS'),
    dockerHost: text('DOCKER_HOST'),
    runtimeDir: text('XDG_RUNTIME_DIR'),
    home: text('HOME') ?? homedir(),
    path: text('PATH') ?? '/usr/local/bin:/usr/bin:/bin',
  };
}
