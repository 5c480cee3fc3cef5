import {
  type Handoff,
  HandoffHandler,
  RedisReconcileModule,
  type RedisReconcileOptions,
  RedisReconcileService,
} from '@nest-baton/redis-reconcile';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Module({})
class EmptyModule {}

/** One server, or some nodes of a cluster. */
export interface Servers {
  readonly url?: string;
  readonly cluster?: readonly string[];
}

export interface OurAppOptions extends Omit<RedisReconcileOptions, 'connection'>, Servers {
  /** Without one it only hands off and reconciles. */
  readonly worker?: { readonly concurrency: number; readonly handle: (handoff: Handoff) => Promise<void> };
}

export interface OurApp {
  readonly reconcile: RedisReconcileService;
  readonly stop: () => Promise<void>;
}

/** As users get it: through the module and the decorator, in a Nest application. */
export async function startOurApp({ url = '', cluster, worker, ...options }: OurAppOptions): Promise<OurApp> {
  Logger.overrideLogger(['error', 'fatal']);
  const connection = cluster === undefined ? { url } : { cluster };
  const app = await NestFactory.createApplicationContext(
    {
      module: EmptyModule,
      imports: [RedisReconcileModule.forRoot({ consumerId: `bench-${process.pid}`, ...options, connection })],
      providers: worker === undefined ? [] : [workerClass(worker.concurrency, worker.handle)],
    },
    { abortOnError: false },
  );
  return { reconcile: app.get(RedisReconcileService), stop: () => app.close() };
}

function workerClass(concurrency: number, handle: (handoff: Handoff) => Promise<void>) {
  @HandoffHandler('default', { concurrency })
  class Worker {
    handle(handoff: Handoff): Promise<void> {
      return handle(handoff);
    }
  }
  return Worker;
}
