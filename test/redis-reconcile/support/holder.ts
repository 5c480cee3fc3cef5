import 'reflect-metadata';
import { type Handoff, HandoffHandler, RedisReconcileModule } from '@nest-baton/redis-reconcile';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** `holder <redis> <service> <lease in ms> <count>`: owns as many until it dies. Prints `owns all <highest fence>` once it does. */
const [url = '', service = '', lease = '1000', count = '1'] = process.argv.slice(2);

let owned = 0;
let highest = 0;

@Injectable()
@HandoffHandler('default', { concurrency: Number(count) })
class Holder {
  async handle({ fence }: Handoff): Promise<void> {
    highest = Math.max(highest, fence);
    if (++owned === Number(count)) process.stdout.write(`owns all ${highest}\n`);
    await new Promise(() => undefined);
  }
}

@Module({
  imports: [
    RedisReconcileModule.forRoot({
      connection: { url },
      service,
      consumerId: 'holder',
      lease: Number(lease),
      recovery: { interval: '1h' },
      hints: 'off',
    }),
  ],
  providers: [Holder],
})
class HolderModule {}

await NestFactory.createApplicationContext(HolderModule, { logger: false });
