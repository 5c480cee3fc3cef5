import 'reflect-metadata';
import { PgStreamModule, type PgStreamOptions, PgStreamService, type StreamWriter } from '@nest-baton/pg-stream';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';
import type { StreamSubject } from './stream-subject.js';

export interface OurStreams extends StreamSubject {
  readonly service: PgStreamService;
  /** Writes under a producer, so that a repeated call is stored once. */
  openWriter(stream: string): Promise<StreamWriter>;
}

/** `PgStreamModule` in an application of Nest, with the defaults but for `options`. */
export async function startOurs(url: string, options: PgStreamOptions = {}): Promise<OurStreams> {
  const root = PgStreamModule.forRoot({ ...(options.pool === undefined ? { connectionString: url } : {}), ...options });
  const app = await NestFactory.createApplicationContext(root, { logger: ['error', 'warn'], abortOnError: false });
  const service = app.get(PgStreamService);
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  let writers = 0;
  return {
    name: 'pg-stream',
    service,
    append: (stream, chunk) => service.append(stream, chunk),
    appendMany: (stream, chunks) => service.appendMany(stream, chunks),
    openWriter: (stream) => service.open(stream, { producer: { id: `writer-${writers++}`, epoch: 0 } }),
    read: (stream, onChunk) => Promise.resolve(follow(service, stream, onChunk)),
    count: async () =>
      Number((await admin.query<{ n: string }>('SELECT count(*) AS n FROM baton.stream_chunks')).rows[0]?.n),
    clear: async () =>
      void (await admin.query('TRUNCATE baton.streams, baton.stream_chunks, baton.stream_producers CASCADE')),
    stop: async () => {
      await app.close();
      await admin.end();
    },
  };
}

function follow(service: PgStreamService, stream: string, onChunk: (data: Uint8Array) => void): () => Promise<void> {
  const stopping = new AbortController();
  const ended = (async () => {
    for await (const { data } of service.read(stream, { signal: stopping.signal })) onChunk(data);
  })().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });
  return async () => {
    stopping.abort();
    await ended;
  };
}
