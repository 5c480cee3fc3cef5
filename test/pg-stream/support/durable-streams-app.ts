import { type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PgStreamModule, type PgStreamOptions, PgStreamService } from '@nest-baton/pg-stream';
import { DurableStreamsModule } from '@nest-baton/pg-stream/durable-streams';
import { hintsUnderTest } from '@nest-baton/testing';
import type { AddressInfo } from 'node:net';

type Options = Parameters<typeof DurableStreamsModule.forRoot>[0];

/** One application that serves streams by the protocol, below `/v1/stream`. */
export class DurableStreamsApp {
  private static readonly running = new Set<DurableStreamsApp>();
  private stopping: Promise<void> | undefined;

  private constructor(
    readonly app: INestApplication,
    readonly streams: PgStreamService,
    /** Of the server, without a path. */
    readonly url: string,
  ) {}

  static async create(
    connectionString: string,
    options: Options = {},
    host = '127.0.0.1',
    streamsOptions: PgStreamOptions = {},
  ): Promise<DurableStreamsApp> {
    @Module({
      imports: [
        PgStreamModule.forRoot({ connectionString, hints: hintsUnderTest(), ...streamsOptions }),
        DurableStreamsModule.forRoot({ path: 'v1/stream', longPollTimeout: '1s', ...options }),
      ],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { rawBody: true, cors: true, logger: false });
    await app.listen(0, host);
    const { port } = app.getHttpServer().address() as AddressInfo;
    const served = new DurableStreamsApp(app, app.get(PgStreamService), `http://127.0.0.1:${port}`);
    this.running.add(served);
    return served;
  }

  /** Also those of tests that failed before they came to it. */
  static async stopAll(): Promise<void> {
    await Promise.all([...this.running].map((served) => served.stop()));
  }

  /** Idempotent. */
  stop(): Promise<void> {
    DurableStreamsApp.running.delete(this);
    return (this.stopping ??= this.app.close());
  }
}
