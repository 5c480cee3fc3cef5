import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { Pool } from 'undici';

export interface FloorOptions {
  readonly url: string;
  readonly maxBatchBytes: number;
  readonly concurrency: number;
  readonly compression: 'gzip' | 'none';
}

const compress = promisify(gzip);

/** One request, what any client has to do for it, zipped at the level of ours. More than `concurrency` at a time wait in the pool. */
export function postLines({ url, concurrency, compression }: FloorOptions) {
  const pool = new Pool(url, { connections: concurrency });
  const encoding = compression === 'gzip' ? { 'content-encoding': 'gzip' } : {};
  return {
    stop: () => pool.close(),
    async post(text: string): Promise<void> {
      const body = compression === 'gzip' ? await compress(text, { level: constants.Z_BEST_SPEED }) : text;
      const headers = { 'content-type': 'application/x-ndjson', ...encoding };
      const answer = await pool.request({ method: 'POST', path: '/api/v1/logs/ingest', headers, body });
      await answer.body.dump();
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    },
  };
}
