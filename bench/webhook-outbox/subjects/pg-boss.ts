import PgBoss from 'pg-boss';
import pg from 'pg';
import { bodyOf, PER_ENDPOINT, type QueueSetup, type QueueSubject } from './queue-subject.js';
import { SignedPost } from './signed-post.js';

interface BossSettings {
  readonly name: string;
  readonly work: PgBoss.WorkOptions;
  /** Jobs of one batch at one time. */
  readonly lanes: number;
}

/**
 * https://timgit.github.io/pg-boss/#/./api/workers: `batchSize` and `pollingIntervalSeconds` (0.5 is the least) are its means to go faster. A batch of
 * 500 for each of the two queues, worked on by 32 lanes.
 */
export const BOSS_BATCHED: BossSettings = {
  name: 'pg-boss (batches of 500)',
  work: { batchSize: 500, pollingIntervalSeconds: 0.5 },
  lanes: PER_ENDPOINT,
};

/** The same page: one job every two seconds. */
export const BOSS_DEFAULTS: BossSettings = { name: 'pg-boss (defaults)', work: {}, lanes: 1 };

interface JobData {
  readonly endpoint: string;
  readonly body: string;
}

export async function startPgBoss(setup: QueueSetup, { name, work, lanes }: BossSettings): Promise<QueueSubject> {
  const { url, endpoints } = setup;
  const boss = new PgBoss(url);
  boss.on('error', (error) => console.error('pg-boss:', error.message));
  await boss.start();
  const queues = endpoints.map((_, i) => `deliver-${i}`);
  for (const queue of queues) await boss.createQueue(queue);
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const post = new SignedPost();
  const deliver = async (jobs: PgBoss.Job<JobData>[]) => {
    const left = jobs.values();
    const lane = async () => {
      for (const { id, data } of left) await post.send(data.endpoint, `boss_${id}`, data.body);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  };
  return {
    name,
    fill: async (count) => {
      const body = bodyOf();
      const jobs = Array.from({ length: count }, (_, i) => ({
        name: queues[i % queues.length] as string,
        data: { endpoint: endpoints[i % endpoints.length] as string, body },
      }));
      for (let at = 0; at < count; at += 1_000) await boss.insert(jobs.slice(at, at + 1_000));
    },
    startWork: async () => {
      for (const queue of queues) await boss.work<JobData>(queue, work, deliver);
    },
    stopWork: async () => {
      for (const queue of queues) await boss.offWork(queue);
      while ((await count(pool, `state = 'active'`)) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    counts: async () => ({
      open: await count(pool, `state IN ('created', 'retry', 'active')`),
      failed: await count(pool, `state IN ('retry', 'failed', 'cancelled')`),
    }),
    clear: async () => void (await pool.query('TRUNCATE pgboss.job')),
    stop: async () => {
      await boss.stop({ graceful: false });
      await Promise.all([pool.end(), post.stop()]);
    },
  };
}

async function count(pool: pg.Pool, where: string): Promise<number> {
  const { rows } = await pool.query<{ n: string }>(
    `SELECT count(*) AS n FROM pgboss.job WHERE name LIKE 'deliver-%' AND ${where}`,
  );
  return Number(rows[0]?.n);
}
