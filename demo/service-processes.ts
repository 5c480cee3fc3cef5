import { fileURLToPath } from 'node:url';
import { type ChildWorker, freePort, startProcess, waitFor } from '@nest-baton/testing';
import type { Backends } from './backends.js';
import type { Cleanup } from './cleanup.js';

const ENTRY = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** Node needs about two seconds to compile the sources; two cores share three processes. */
const START_TIMEOUT_MS = 40_000;

export interface ServiceProcess {
  readonly name: string;
  readonly baseUrl: string;
  readonly child: ChildWorker;
}

export interface Service {
  readonly api: ServiceProcess;
  readonly workers: readonly ServiceProcess[];
}

export interface ServiceSettings {
  readonly hints: 'on' | 'off';
  /** Pause after each line that a worker writes. */
  readonly paceMs: number;
}

/** One process that takes requests and two that work, as they would run on three machines. */
export async function startService(backends: Backends, settings: ServiceSettings, cleanup: Cleanup): Promise<Service> {
  const environment = { ...sharedEnvironment(backends), ...tuning(settings) };
  const start = (name: string, role: 'api' | 'worker') => startOne(name, { ...environment, BATON_ROLE: role }, cleanup);
  const [api, ...workers] = await Promise.all([
    start('api', 'api'),
    start('worker-a', 'worker'),
    start('worker-b', 'worker'),
  ]);
  return { api, workers };
}

async function startOne(name: string, env: Record<string, string>, cleanup: Cleanup): Promise<ServiceProcess> {
  const port = await freePort();
  const started = await startProcess({ entry: ENTRY, env: { ...env, BATON_PORT: `${port}`, POD_NAME: name } });
  const child = await cleanup.own(Promise.resolve(started));
  const baseUrl = `http://127.0.0.1:${port}`;
  await waitFor(
    async () => {
      if (child.hasExited) throw new Error(`${name} did not start:\n${child.lines.slice(-20).join('\n')}`);
      const response = await fetch(`${baseUrl}/health/ready`).catch(() => undefined);
      await response?.arrayBuffer();
      return response?.status === 200;
    },
    { timeoutMs: START_TIMEOUT_MS, description: `${name} is ready` },
  );
  return { name, baseUrl, child };
}

function sharedEnvironment(backends: Backends): Record<string, string> {
  return {
    BATON_DATABASE_URL: backends.databaseUrl,
    BATON_REDIS_URL: backends.redisUrl,
    BATON_INGEST_URL: backends.sink.url,
    BATON_LOG_FORMAT: 'json',
    BATON_WEBHOOK_OUTBOX_KEYS: backends.webhookKeys,
    // The receiver of the demo listens on this machine, without TLS.
    BATON_WEBHOOK_OUTBOX_ALLOW_HTTP: 'true',
    BATON_WEBHOOK_OUTBOX_ALLOW_ADDRESSES: '127.0.0.0/8',
  };
}

/** Shorter times than the defaults, so that a demo of a minute shows what otherwise takes several. */
function tuning({ hints, paceMs }: ServiceSettings): Record<string, string> {
  return {
    BATON_RUNS_PACE: `${paceMs}ms`,
    BATON_RUNS_POLL_INTERVAL: '1s',
    BATON_RUNS_STALLED_AFTER: '2s',
    BATON_WEBHOOK_OUTBOX_SCHEDULE: '1s,2s,4s,8s',
    BATON_REDIS_RECONCILE_LEASE: '3s',
    BATON_REDIS_RECONCILE_RECOVERY_INTERVAL: '2s',
    BATON_REDIS_RECONCILE_RECOVERY_MIN_IDLE: '3s',
    // Without hints a page of chunks waits for its age.
    BATON_INGEST_MAX_DELAY: '100ms',
    BATON_RUNS_HINTS: hints,
    BATON_INGEST_HINTS: hints,
    BATON_PG_STREAM_HINTS: hints,
    BATON_WEBHOOK_OUTBOX_HINTS: hints,
    BATON_REDIS_RECONCILE_HINTS: hints,
  };
}
