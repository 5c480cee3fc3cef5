import { expectCount, type Parameters, type ServedSubject } from '../../harness/index.js';
import { Redis } from 'ioredis';
import { LeaseAndAckLoop } from '../floor/lease-and-ack-loop.js';
import { inChunks, infoOf, nameOf } from '../handoffs.js';
import { CountedWork } from './counted-work.js';
import { TimedBacklog } from './timed-backlog.js';

const GROUP = 'owners';

export async function startFloor(setup: Parameters): Promise<ServedSubject> {
  const {
    url,
    service: stream,
    concurrency,
  } = setup as unknown as { url: string; service: string; concurrency: number };
  const redis = new Redis(url);
  await redis.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM');
  const work = new CountedWork();
  const loop = new LeaseAndAckLoop(redis, stream, GROUP, concurrency);
  const backlog = new TimedBacklog(work, {
    add: (run, count) =>
      inChunks(count, async (from, to) => {
        const pipeline = redis.pipeline();
        for (let i = from; i < to; i++)
          pipeline.xadd(stream, '*', 'stream', nameOf(run, i), 'info', JSON.stringify(infoOf(i)));
        await pipeline.exec();
      }),
    finished: (count) => loop.run(count, work.handle),
    check: async () => expectCount('entries left', await redis.xlen(stream), 0),
  });
  return {
    run: backlog.run,
    stop: () => {
      redis.disconnect();
      return Promise.resolve();
    },
  };
}
