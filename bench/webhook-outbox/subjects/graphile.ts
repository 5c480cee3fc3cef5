import { Logger, makeWorkerUtils, run, type Runner } from 'graphile-worker';
import pg from 'pg';
import { bodyOf, PER_ENDPOINT, type QueueSetup, type QueueSubject } from './queue-subject.js';
import { SignedPost } from './signed-post.js';

const CONCURRENCY = 2 * PER_ENDPOINT;

interface GraphileSettings {
  readonly name: string;
  readonly worker: Omit<GraphileConfig.WorkerOptions, 'connectionString'>;
}

/**
 * https://worker.graphile.org/docs/performance: the configuration of its own headline figure (`localQueue.size` 500, both batch delays 0), with the
 * concurrency of this benchmark; `maxPoolSize` by https://worker.graphile.org/docs/config, "10 or concurrentJobs + 2".
 */
export const GRAPHILE_BATCHED: GraphileSettings = {
  name: 'graphile-worker (batched)',
  worker: {
    concurrentJobs: CONCURRENCY,
    maxPoolSize: CONCURRENCY + 2,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

/** https://worker.graphile.org/docs/config: nothing set, so one job at a time. */
export const GRAPHILE_DEFAULTS: GraphileSettings = { name: 'graphile-worker (defaults)', worker: {} };

interface Payload {
  readonly endpoint: string;
  readonly body: string;
}

export async function startGraphile(setup: QueueSetup, { name, worker }: GraphileSettings): Promise<QueueSubject> {
  const { url, endpoints } = setup;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const utils = await makeWorkerUtils({ connectionString: url, logger: onlyErrors });
  await utils.migrate();
  const post = new SignedPost();
  let runner: Runner | undefined;
  const deliver = async (payload: unknown, { job }: { readonly job: { readonly id: string } }) => {
    const { endpoint, body } = payload as Payload;
    await post.send(endpoint, `graphile_${job.id}`, body);
  };
  return {
    name,
    fill: async (count) => {
      const body = bodyOf();
      const jobs = Array.from({ length: count }, (_, i) => ({
        identifier: 'deliver',
        payload: { endpoint: endpoints[i % endpoints.length], body },
      }));
      for (let at = 0; at < count; at += 1_000) await utils.addJobs(jobs.slice(at, at + 1_000));
    },
    startWork: async () => {
      const preset = { worker: { ...worker, connectionString: url, logger: onlyErrors } };
      runner = await run({ preset, taskList: { deliver }, noHandleSignals: true });
    },
    stopWork: async () => {
      await runner?.stop();
      runner = undefined;
    },
    counts: async () => {
      const { rows } = await pool.query<{ open: string; failed: string }>(
        'SELECT count(*) AS open, count(last_error) AS failed FROM graphile_worker._private_jobs',
      );
      return { open: Number(rows[0]?.open), failed: Number(rows[0]?.failed) };
    },
    clear: async () => void (await pool.query('TRUNCATE graphile_worker._private_jobs')),
    stop: async () => {
      await Promise.all([utils.release(), pool.end(), post.stop()]);
    },
  };
}

const onlyErrors = new Logger(() => (level, message) => {
  if (String(level) === 'error') console.error(`graphile-worker: ${message}`);
});
