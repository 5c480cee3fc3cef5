import 'reflect-metadata';
import { type Handoff, HandoffHandler, RedisReconcileModule } from '@nest-baton/redis-reconcile';
import { hintsUnderTest } from '@nest-baton/testing';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Several URLs, with commas between them, are nodes of a cluster. */
const [url = '', service = '', lease = '1000', concurrency = '10'] = process.argv.slice(2);

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Owns work until it loses it, and says each thing on a line. */
@Injectable()
@HandoffHandler('default', { concurrency: Number(concurrency) })
class Worker {
  async handle(handoff: Handoff): Promise<void> {
    say(`owns ${handoff.dataStream} attempt ${handoff.attempt} fence ${handoff.fence}`);
    // Each tick is a write that it believes to be allowed.
    const ticks = setInterval(() => {
      try {
        handoff.assertOwned();
        say(`writes ${handoff.dataStream} ${Date.now()}`);
      } catch {
        say(`stops ${handoff.dataStream} ${Date.now()}`);
        clearInterval(ticks);
      }
    }, 20);
    await new Promise((resolve) => handoff.signal.addEventListener('abort', resolve, { once: true }));
    say(`aborted ${handoff.dataStream}`);
    throw handoff.signal.reason;
  }
}

@Module({
  imports: [
    RedisReconcileModule.forRoot({
      connection: url.includes(',') ? { cluster: url.split(',') } : { url },
      service,
      consumerId: 'child',
      lease: Number(lease),
      recovery: { interval: '1h' },
      keyspaceEvents: 'off',
      block: 200,
      hints: hintsUnderTest(),
    }),
  ],
  providers: [Worker],
})
class ChildModule {}

const app = await NestFactory.createApplicationContext(ChildModule, { logger: false });
app.enableShutdownHooks();
say('ready');
