import 'reflect-metadata';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgStreamModule, PgStreamService } from '@nest-baton/pg-stream';
import { Controller, Get, Inject, Module, Res } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type Sample, serveSubjects } from '../../harness/index.js';
import { CHUNK } from '../subjects/stream-subject.js';

/** What this process does besides serving; the parameters of `RemoteSubject.run`. */
export type SseServerAction =
  /** `{ rss, readers }`, megabytes after a garbage collection. */
  { readonly action: 'measure' } | { readonly action: 'append'; readonly chunks: number; readonly everyMs: number };

const STREAM = 'watched';
const MB = 1024 * 1024;

@Controller()
class WatchController {
  constructor(@Inject(PgStreamService) private readonly streams: PgStreamService) {}

  @Get('watch')
  watch(@Res() response: ServerResponse): Promise<void> {
    return this.streams.sse(response, STREAM);
  }
}

serveSubjects({
  sse: async ({ url }) => {
    @Module({ imports: [PgStreamModule.forRoot({ connectionString: String(url) })], controllers: [WatchController] })
    class SseModule {}
    const app = await NestFactory.create(SseModule, { logger: ['error', 'warn'] });
    await app.listen(0, '127.0.0.1');
    const streams = app.get(PgStreamService);
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    return {
      run: async (parameters): Promise<Sample> => {
        const action = parameters as unknown as SseServerAction;
        if (action.action === 'append') {
          for (let nth = 0; nth < action.chunks; nth++) {
            await streams.append(STREAM, CHUNK);
            await sleep(action.everyMs);
          }
        }
        return { ...(await memory()), readers: streams.stats().sseResponses, port };
      },
      stop: () => app.close(),
    };
  },
});

/** What is still held: garbage that nobody has collected yet says nothing about readers. */
async function memory(): Promise<Sample> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('this program needs --expose-gc');
  for (let nth = 0; nth < 3; nth++) {
    gc();
    await sleep(50);
  }
  const { rss, heapUsed } = process.memoryUsage();
  return { rss: rss / MB, heapUsed: heapUsed / MB };
}
