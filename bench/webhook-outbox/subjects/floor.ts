import pg from 'pg';
import { bodyOf, PER_ENDPOINT, type QueueSetup, type QueueSubject } from './queue-subject.js';
import { SignedPost } from './signed-post.js';

const CLAIM = `UPDATE floor SET state = 'leased', lease_until = now() + interval '30 seconds', attempts = attempts + 1
  WHERE id IN (SELECT id FROM floor WHERE endpoint = $1 AND state = 'ready' ORDER BY id LIMIT 200 FOR UPDATE SKIP LOCKED) RETURNING id, body`;
const SETTLE = `UPDATE floor SET state = 'delivered' WHERE id = ANY ($1)`;

/**
 * The least code that does the job: claim a batch with a lease, POST it by 32 lanes, settle it, again. No retry, no fence, no wake-up, no log.
 * Fixed before any tuning began; do not improve it.
 */
export async function startFloor({ url, endpoints }: QueueSetup): Promise<QueueSubject> {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  await pool.query(
    'CREATE TABLE floor (id bigserial PRIMARY KEY, endpoint text, body text, state text, attempts int DEFAULT 0, lease_until timestamptz)',
  );
  await pool.query(`CREATE INDEX ON floor (endpoint, id) WHERE state = 'ready'`);
  const post = new SignedPost();
  const count = async (where: string) =>
    Number((await pool.query<{ n: string }>(`SELECT count(*) AS n FROM floor WHERE ${where}`)).rows[0]?.n);
  let isWorking = false;
  let loops: Promise<unknown> = Promise.resolve();
  const work = async (endpoint: string) => {
    while (isWorking) {
      const { rows } = await pool.query<{ id: string; body: string }>(CLAIM, [endpoint]);
      if (rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      const left = rows.values();
      const lane = async () => {
        for (const { id, body } of left) await post.send(endpoint, `floor_${id}`, body);
      };
      await Promise.all(Array.from({ length: PER_ENDPOINT }, lane));
      if (rows.length > 0) await pool.query(SETTLE, [rows.map(({ id }) => id)]);
    }
  };
  return {
    name: 'floor',
    fill: async (n) =>
      void (await pool.query(
        `INSERT INTO floor (endpoint, body, state) SELECT ($1::text[])[1 + n % 2], $2, 'ready' FROM generate_series(1, $3) n`,
        [endpoints, bodyOf(), n],
      )),
    startWork: () => {
      isWorking = true;
      loops = Promise.all(endpoints.map(work));
      return Promise.resolve();
    },
    stopWork: async () => {
      isWorking = false;
      await loops;
    },
    counts: async () => ({ open: await count(`state <> 'delivered'`), failed: await count('attempts > 1') }),
    clear: async () => void (await pool.query('TRUNCATE floor')),
    stop: () => Promise.all([pool.end(), post.stop()]).then(() => undefined),
  };
}
