import { createPostgresBackend, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { bodyOf, PER_ENDPOINT, type QueueSetup, type QueueSubject } from './queue-subject.js';
import { SignedPost } from './signed-post.js';

interface BullSettings {
  readonly name: string;
  readonly store: 'redis' | 'postgres';
  /** Of Redis' append-only file. */
  readonly appendfsync?: 'always' | 'everysec';
  readonly queue: { readonly defaultJobOptions?: { readonly removeOnComplete: boolean } };
  readonly worker: { readonly concurrency?: number };
}

/**
 * https://docs.bullmq.io/guide/workers/concurrency (a concurrency for work that waits for I/O; 32 in each of two queues here) and
 * https://docs.bullmq.io/guide/queues/auto-removal-of-jobs (finished jobs removed).
 */
const TUNED = {
  queue: { defaultJobOptions: { removeOnComplete: true } },
  worker: { concurrency: PER_ENDPOINT },
} as const;

/** As durable as the others: Redis answers when the job is on disk. */
export const BULL_ALWAYS: BullSettings = {
  name: 'BullMQ (Redis, fsync always)',
  store: 'redis',
  appendfsync: 'always',
  ...TUNED,
};

/** https://docs.bullmq.io/guide/going-to-production, "Persistence": append-only file, once a second. A second of jobs may be lost. */
export const BULL_EVERYSEC: BullSettings = {
  name: 'BullMQ (Redis, fsync every second)',
  store: 'redis',
  appendfsync: 'everysec',
  ...TUNED,
};

/** One job at a time, finished jobs kept. */
export const BULL_DEFAULTS: BullSettings = {
  name: 'BullMQ (Redis, defaults)',
  store: 'redis',
  appendfsync: 'everysec',
  queue: {},
  worker: {},
};

/** https://docs.bullmq.io/guide/postgresql. */
export const BULL_POSTGRES: BullSettings = { name: 'BullMQ (Postgres)', store: 'postgres', ...TUNED };
export const BULL_POSTGRES_DEFAULTS: BullSettings = {
  name: 'BullMQ (Postgres, defaults)',
  store: 'postgres',
  queue: {},
  worker: {},
};

interface JobData {
  readonly endpoint: string;
  readonly body: string;
}

/** Of the two backends, whose types have nothing in common. */
interface AnyQueue {
  addBulk(jobs: { name: string; data: JobData }[]): Promise<unknown>;
  getJobCounts(...states: string[]): Promise<Record<string, number>>;
  obliterate(options: { force: boolean }): Promise<void>;
  close(): Promise<void>;
}

export async function startBullmq(setup: QueueSetup, settings: BullSettings): Promise<QueueSubject> {
  const { name, store, appendfsync } = settings;
  const { endpoints } = setup;
  const post = new SignedPost();
  const make = store === 'redis' ? overRedis(setup, settings) : overPostgres(setup, settings);
  const admin = store === 'redis' ? new Redis(setup.redisUrl) : undefined;
  await admin?.config('SET', 'appendonly', 'yes');
  const queues = endpoints.map((_, i) => make.queue(`deliver-${i}`));
  let workers: { close(): Promise<void> }[] = [];
  const deliver = async ({ id, data }: { id?: string | undefined; data: JobData }) =>
    post.send(data.endpoint, `bull_${id}_${data.endpoint.at(-1)}`, data.body);
  const sum = async (...states: string[]) => {
    const counts = await Promise.all(queues.map((queue) => queue.getJobCounts(...states)));
    return counts.flatMap((count) => Object.values(count)).reduce((total, value) => total + value, 0);
  };
  return {
    name,
    fill: async (count) => {
      // One Redis serves all settings, in turn.
      if (appendfsync !== undefined) await admin?.config('SET', 'appendfsync', appendfsync);
      const body = bodyOf();
      for (const [i, queue] of queues.entries()) {
        const data = { endpoint: endpoints[i] as string, body };
        const jobs = Array.from({ length: Math.floor((count + 1 - i) / 2) }, () => ({ name: 'deliver', data }));
        for (let at = 0; at < jobs.length; at += 1_000) await queue.addBulk(jobs.slice(at, at + 1_000));
      }
    },
    startWork: () => {
      workers = queues.map((_, i) => make.worker(`deliver-${i}`, deliver));
      return Promise.resolve();
    },
    stopWork: async () => {
      await Promise.all(workers.map((worker) => worker.close()));
    },
    counts: async () => ({
      open: await sum('waiting', 'active', 'delayed', 'prioritized', 'paused'),
      failed: await sum('failed'),
    }),
    clear: async () => {
      for (const queue of queues) await queue.obliterate({ force: true });
    },
    stop: async () => {
      await Promise.all([...queues.map((queue) => queue.close()), post.stop()]);
      admin?.disconnect();
    },
  };
}

interface Maker {
  queue(name: string): AnyQueue;
  worker(
    name: string,
    deliver: (job: { id?: string | undefined; data: JobData }) => Promise<void>,
  ): { close(): Promise<void> };
}

function overRedis({ redisUrl }: QueueSetup, settings: BullSettings): Maker {
  const { hostname, port } = new URL(redisUrl);
  const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
  const prefix = settings.name.replace(/\W+/g, '-');
  return {
    queue: (name) => new Queue(name, { connection, prefix, ...settings.queue }),
    worker: (name, deliver) => loud(new Worker<JobData>(name, deliver, { connection, prefix, ...settings.worker })),
  };
}

function overPostgres({ url }: QueueSetup, settings: BullSettings): Maker {
  const connection = { connectionString: url, migrate: true };
  return {
    queue: (name) => new Queue(name, { connection, ...settings.queue }, createPostgresBackend),
    worker: (name, deliver) =>
      loud(new Worker(name, deliver, { connection, ...settings.worker }, createPostgresBackend)),
  };
}

function loud<T extends { on(event: 'error', listener: (error: Error) => void): unknown }>(worker: T): T {
  worker.on('error', (error) => console.error('BullMQ:', error.message));
  return worker;
}
