import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createWorld } from '@workflow/world-postgres';
import pg from 'pg';
import type { StreamSubject } from './stream-subject.js';

export interface WorldSettings {
  readonly name: string;
  /** Absent: the default of its pool, 10 connections. */
  readonly maxPoolSize?: number;
}

/** https://www.npmjs.com/package/@workflow/world-postgres, "Configuration Options": no option given. */
export const WORLD_DEFAULTS: WorldSettings = { name: 'world-postgres (defaults)' };

/**
 * https://www.npmjs.com/package/@workflow/world-postgres, "Environment Variables": for higher concurrency `maxPoolSize` is to be the concurrency
 * plus 2; its callers here are 32. It names no other setting for streams.
 */
export const WORLD_RECOMMENDED: WorldSettings = { name: 'world-postgres (pool 34)', maxPoolSize: 34 };

const RUN_ID = 'wrun_bench';

/** The streamer of `createWorld`, without its queue, which `start()` would begin. */
export async function startWorldPostgres(url: string, settings: WorldSettings): Promise<StreamSubject> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  const { rows } = await admin.query<{ table: string | null }>(
    `SELECT to_regclass('workflow.workflow_stream_chunks') AS table`,
  );
  if (rows[0]?.table === null) await bootstrap(url);
  const { name, maxPoolSize } = settings;
  const world = createWorld({ connectionString: url, ...(maxPoolSize === undefined ? {} : { maxPoolSize }) });
  if (world.writeToStreamMulti === undefined) throw new Error('world-postgres has no writeToStreamMulti any more');
  const writeMany = world.writeToStreamMulti.bind(world);
  const count = 'SELECT count(*) AS n FROM workflow.workflow_stream_chunks';
  return {
    name,
    append: (stream, chunk) => world.writeToStream(stream, RUN_ID, chunk),
    appendMany: (stream, chunks) => writeMany(stream, RUN_ID, chunks),
    read: async (stream, onChunk) => follow(await world.readFromStream(stream), onChunk),
    count: async () => Number((await admin.query<{ n: string }>(count)).rows[0]?.n),
    clear: async () => void (await admin.query('TRUNCATE workflow.workflow_stream_chunks')),
    stop: async () => {
      await (world as unknown as { close(): Promise<void> }).close();
      await admin.end();
    },
  };
}

function follow(chunks: ReadableStream<Uint8Array>, onChunk: (data: Uint8Array) => void): () => Promise<void> {
  const reader = chunks.getReader();
  let isStopping = false;
  const ended = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onChunk(value);
    }
  })().catch((error: unknown) => {
    if (!isStopping) throw error;
  });
  return async () => {
    isStopping = true;
    await reader.cancel();
    await ended;
  };
}

/** Its command line creates the schema and ends the process, so it runs in one of its own. */
async function bootstrap(url: string): Promise<void> {
  const entry = fileURLToPath(import.meta.resolve('@workflow/world-postgres'));
  await promisify(execFile)(process.execPath, [join(dirname(entry), '..', 'bin', 'setup.js')], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, WORKFLOW_POSTGRES_URL: url },
  });
}
