import { hostname } from 'node:os';
import {
  type Environment,
  type EnvironmentVariable,
  OptionsCheck,
  OptionsInvalidError,
  readEnvironment,
  unknownName,
} from '@nest-baton/core';
import { INGEST_ENVIRONMENT, type IngestOptions, ingestOptionsFromEnv, resolveIngestOptions } from '@nest-baton/ingest';
import {
  PG_STREAM_ENVIRONMENT,
  type PgStreamOptions,
  pgStreamOptionsFromEnv,
  resolvePgStreamOptions,
} from '@nest-baton/pg-stream';
import {
  REDIS_RECONCILE_ENVIRONMENT,
  type RedisReconcileOptions,
  redisReconcileOptionsFromEnv,
  resolveRedisReconcileOptions,
} from '@nest-baton/redis-reconcile';
import {
  resolveWebhookOutboxOptions,
  WEBHOOK_OUTBOX_ENVIRONMENT,
  type WebhookOutboxOptions,
  webhookOutboxOptionsFromEnv,
} from '@nest-baton/webhook-outbox';
import { resolveRunsOptions, RUNS_ENVIRONMENT, type RunsOptions, type RunsSettings } from './runs/runs.options.js';

/** `api` takes requests, `worker` works on runs and sends webhooks, `all` does both. */
export type ServiceRole = 'all' | 'api' | 'worker';

export interface AppConfig {
  readonly role: ServiceRole;
  readonly host: string;
  readonly port: number;
  readonly apiToken: string | undefined;
  readonly logFormat: 'text' | 'json';
  readonly databaseUrl: string;
  readonly ingest: IngestOptions;
  readonly pgStream: PgStreamOptions;
  readonly webhookOutbox: WebhookOutboxOptions;
  readonly redisReconcile: RedisReconcileOptions;
  readonly runs: RunsOptions;
}

const SERVICE_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_ROLE', option: 'role', kind: 'string' },
  { variable: 'BATON_HOST', option: 'host', kind: 'string' },
  { variable: 'BATON_PORT', option: 'port', kind: 'integer' },
  { variable: 'BATON_API_TOKEN', option: 'apiToken', kind: 'string' },
  { variable: 'BATON_LOG_FORMAT', option: 'logFormat', kind: 'string' },
  { variable: 'BATON_DATABASE_URL', option: 'databaseUrl', kind: 'string' },
  { variable: 'BATON_REDIS_URL', option: 'redisUrl', kind: 'string' },
  { variable: 'BATON_MIGRATIONS', option: 'migrations', kind: 'string' },
];

export const KNOWN_VARIABLES = [
  SERVICE_ENVIRONMENT,
  RUNS_ENVIRONMENT,
  INGEST_ENVIRONMENT,
  PG_STREAM_ENVIRONMENT,
  WEBHOOK_OUTBOX_ENVIRONMENT,
  REDIS_RECONCILE_ENVIRONMENT,
].flatMap((table) => table.map(({ variable }) => variable));

/** Variables of a module that the service sets itself: beside the service's own they would only contradict it. */
export const SET_BY_SERVICE: Readonly<Record<string, string>> = {
  BATON_PG_STREAM_CONNECTION_STRING: 'BATON_DATABASE_URL',
  BATON_WEBHOOK_OUTBOX_SCHEMA: 'BATON_PG_STREAM_SCHEMA',
  BATON_WEBHOOK_OUTBOX_ROLE: 'BATON_ROLE',
  BATON_REDIS_RECONCILE_URL: 'BATON_REDIS_URL',
};

const LOOPBACK = ['127.0.0.1', '::1', 'localhost'];

/** Seals endpoint secrets outside production, where a restart must still open them and nobody has set up a key. */
const DEVELOPMENT_KEY = { id: 'development', key: Buffer.alloc(32, 'baton development key').toString('base64') };

/** The configuration of this process. @throws OptionsInvalidError naming everything wrong with it. */
export function readAppConfig(): AppConfig {
  return appConfigFromEnv(process.env);
}

/** Pure. @throws OptionsInvalidError naming everything wrong, in one report. */
export function appConfigFromEnv(env: Environment): AppConfig {
  const report = new Report();
  for (const name of Object.keys(env)) {
    if (!name.startsWith('BATON_')) continue;
    const owner = SET_BY_SERVICE[name];
    if (owner !== undefined && env[name] !== '')
      report.problems.push(`${name} contradicts ${owner}, which sets it for every module: remove it`);
    else if (!KNOWN_VARIABLES.includes(name)) report.problems.push(unknownName('variable', name, KNOWN_VARIABLES));
  }
  const isProduction = env['NODE_ENV'] === 'production';
  const service = readService(env, isProduction, report);
  const modules = readModules(env, service, isProduction, report);
  const settings = report.collect(() => readEnvironment('runs', env, RUNS_ENVIRONMENT) as RunsSettings);
  const fixed = {
    schema: modules.pgStream.schema ?? 'baton',
    migrations: service.migrations,
    maxLineBytes: modules.maxLineBytes,
  };
  const runs = report.collect(() => resolveRunsOptions(settings ?? {}, fixed), RUNS_ENVIRONMENT);
  if (report.problems.length > 0 || runs === undefined) throw new OptionsInvalidError('Baton', report.problems);
  const { ingest, pgStream, webhookOutbox, redisReconcile } = modules;
  const { redisUrl: _, ...own } = service;
  return { ...own, ingest, pgStream, webhookOutbox, redisReconcile, runs };
}

/** Collects the problems of many checks instead of stopping at the first. */
class Report {
  readonly problems: string[] = [];

  /** With `table`, a problem that begins with an option's name begins with its variable's: that is what the reader can change. */
  collect<T>(check: () => T, table: readonly EnvironmentVariable[] = []): T | undefined {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof OptionsInvalidError)) throw error;
      for (const problem of error.problems) {
        const [option = ''] = problem.split(' ', 1);
        const variable = table.find((entry) => entry.option === option)?.variable;
        this.problems.push(variable === undefined ? problem : variable + problem.slice(option.length));
      }
      return undefined;
    }
  }
}

function readService(env: Environment, isProduction: boolean, report: Report) {
  const settings: Record<string, unknown> = {};
  // One by one, so that a text that cannot be read does not take the others with it.
  for (const entry of SERVICE_ENVIRONMENT) {
    const value = report.collect(() => readEnvironment('service', env, [entry]))?.[entry.option];
    if (value !== undefined) settings[entry.variable] = value;
  }
  // Under the variables' own names, so that the report names what its reader can change.
  const names = SERVICE_ENVIRONMENT.map(({ variable }) => variable);
  const check = new OptionsCheck<Record<string, unknown>>('service', settings, names);
  const service = {
    role: check.oneOf<ServiceRole>('BATON_ROLE', 'all', ['all', 'api', 'worker']),
    host: check.string('BATON_HOST', '127.0.0.1'),
    port: check.integer('BATON_PORT', 3000, { max: 65_535 }),
    apiToken: settings['BATON_API_TOKEN'] as string | undefined,
    logFormat: check.oneOf('BATON_LOG_FORMAT', isProduction ? 'json' : 'text', ['text', 'json']),
    databaseUrl: check.url('BATON_DATABASE_URL', ['postgres:', 'postgresql:']),
    // What is said for hand-offs alone is meant for them, also where a URL is set for everything.
    redisUrl: hasCluster(env) ? undefined : check.url('BATON_REDIS_URL', ['redis:', 'rediss:']),
    migrations: check.oneOf('BATON_MIGRATIONS', isProduction ? 'verify' : 'auto', ['auto', 'verify', 'off']),
  };
  check.rule(
    LOOPBACK.includes(service.host) || service.apiToken !== undefined,
    `BATON_HOST ${service.host} can be reached from outside: set BATON_API_TOKEN, or listen on 127.0.0.1`,
  );
  report.problems.push(...check.problems);
  return service;
}

function hasCluster(env: Environment): boolean {
  return (env['BATON_REDIS_RECONCILE_CLUSTER'] ?? '').trim() !== '';
}

type Service = ReturnType<typeof readService>;

function readModules(env: Environment, service: Service, isProduction: boolean, report: Report) {
  const { databaseUrl, redisUrl, migrations } = service;
  const fromEnv = {
    ingest: report.collect(() => ingestOptionsFromEnv(env)),
    pgStream: report.collect(() => pgStreamOptionsFromEnv(env)),
    webhookOutbox: report.collect(() => webhookOutboxOptionsFromEnv(env)),
    // In a cluster the host's name is the pod's; outside, it tells the machines of a team apart.
    redisReconcile: report.collect(() =>
      redisReconcileOptionsFromEnv({ ...env, POD_NAME: env['POD_NAME']?.trim() || hostname() }),
    ),
  };
  const ingest = { index: 'runs', ...fromEnv.ingest } as IngestOptions;
  const pgStream: PgStreamOptions = { connectionString: databaseUrl, migrations, ...fromEnv.pgStream };
  const webhookOutbox = {
    role: service.role === 'api' ? 'producer' : 'all',
    listenConnectionString: databaseUrl,
    schema: pgStream.schema ?? 'baton',
    migrations,
    ...(isProduction ? {} : { keys: [DEVELOPMENT_KEY] }),
    ...fromEnv.webhookOutbox,
  } as WebhookOutboxOptions;
  const redisReconcile = {
    ...(redisUrl === undefined ? undefined : { connection: { url: redisUrl } }),
    ...fromEnv.redisReconcile,
  } as RedisReconcileOptions;
  const hasKeys = webhookOutbox.keys !== undefined;
  if (fromEnv.webhookOutbox !== undefined && !hasKeys)
    report.problems.push('BATON_WEBHOOK_OUTBOX_KEYS is required in production: id:key with 32 bytes in base64');
  // What could not be read, or lacks what the service itself must be given, was reported already.
  if (fromEnv.ingest) report.collect(() => resolveIngestOptions(ingest), INGEST_ENVIRONMENT);
  const resolvedStream =
    fromEnv.pgStream && databaseUrl !== ''
      ? report.collect(() => resolvePgStreamOptions(pgStream), PG_STREAM_ENVIRONMENT)
      : undefined;
  if (fromEnv.webhookOutbox && databaseUrl !== '' && hasKeys)
    report.collect(() => resolveWebhookOutboxOptions(webhookOutbox), WEBHOOK_OUTBOX_ENVIRONMENT);
  if (fromEnv.redisReconcile && redisUrl !== '')
    report.collect(() => resolveRedisReconcileOptions(redisReconcile), REDIS_RECONCILE_ENVIRONMENT);
  return { ingest, pgStream, webhookOutbox, redisReconcile, maxLineBytes: resolvedStream?.maxChunkBytes ?? 0 };
}
