import 'reflect-metadata';
import type { Random } from '@nest-baton/core';
import {
  getRedisReconcileToken,
  type Handoff,
  HandoffHandler,
  NackError,
  RedisReconcileModule,
  type RedisReconcileService,
} from '@nest-baton/redis-reconcile';
import { LeaseRecorder, randomBetween, seededRandom } from '@nest-baton/testing';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';

/** A worker of the soak test: `soak-worker <redis> <service> <name> <seed> <redis of the resource> <options as JSON>`. Prints `ready`, then its history. */
const [url = '', service = '', name = '', seed = '0', resourceUrl = '', options = '{}'] = process.argv.slice(2);
const random: Random = seededRandom(Number(seed));
const recorder = new LeaseRecorder(name, (line) => void process.stdout.write(`${line}\n`));
const resource = new Redis(resourceUrl);
const lastWord = new Map<number, number>();

/** An answer that takes longer than this, while the process runs, is given up. */
const ANSWER_MS = 1_500;
const TICK_MS = 10;
const stops: { readonly at: number; readonly ms: number }[] = [];
let ticked = recorder.now();
setInterval(() => {
  const at = recorder.now();
  if (at - ticked > 5 * TICK_MS) stops.push({ at, ms: at - ticked });
  ticked = at;
}, TICK_MS);

/** Before the lease was asked for whose handler begins now: an answer can wait in a process that is stopped. */
function beforeAsking(): number {
  const now = recorder.now();
  const stopped = stops.filter(({ at }) => at > now - 10_000).reduce((sum, { ms }) => sum + ms, now - ticked);
  return now - ANSWER_MS - stopped;
}

@Injectable()
@HandoffHandler('default', { concurrency: 8 })
class Worker {
  async handle(handoff: Handoff): Promise<void> {
    const { dataStream, fence, handoffId, attempt } = handoff;
    recorder.acquired(dataStream, fence, 0, beforeAsking());
    for (let steps = randomBetween(random, 1, 10); steps > 0; steps--) {
      await sleep(randomBetween(random, 1, 40));
      const since = recorder.now();
      handoff.assertOwned();
      recorder.stillOwned(dataStream, fence, since);
    }
    if (random() < 0.05) throw new NackError({ delay: randomBetween(random, 1, 100) });
    await resource.hincrby(`${service}:worked`, handoffId, 1);
    if (attempt > 1) await resource.hset(`${service}:tried-again`, handoffId, attempt);
    lastWord.set(fence, recorder.now());
  }
}

@Module({
  imports: [
    RedisReconcileModule.forRoot({
      connection: { url },
      service,
      consumerId: name,
      ...(JSON.parse(options) as object),
    }),
  ],
  providers: [Worker],
})
class WorkerModule {}

const app = await NestFactory.createApplicationContext(WorkerModule, { logger: false });
const handoffs = app.get<RedisReconcileService>(getRedisReconcileToken());
handoffs.on('done', ({ dataStream, fence }) => {
  recorder.ended(dataStream, fence, true, lastWord.get(fence));
  lastWord.delete(fence);
});
handoffs.on('lost', ({ dataStream, fence }) => recorder.lost(dataStream, fence));
process.stdout.write('ready\n');
