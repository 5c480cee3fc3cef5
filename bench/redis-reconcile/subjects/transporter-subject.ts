import { waitFor } from '@nest-baton/testing';
import { RedisStreamServer } from '@nestjs-redis/streams-transporter';
import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Parameters, ServedSubject } from '../../harness/index.js';
import { inChunks, infoOf, nameOf } from '../handoffs.js';
import { CountedWork } from './counted-work.js';
import { TimedBacklog } from './timed-backlog.js';

const PATTERN = 'handoff';
const GROUP = 'bench';
const PENDING_TIMEOUT_MS = 10_000;

/**
 * Handles one entry after the other by design; `batchSize`, 50 by default, is what its documentation offers for throughput:
 * https://www.npmjs.com/package/@nestjs-redis/streams-transporter. The handler is registered with the server directly, so it pays for no pipes,
 * guards or filters. Entries are put there without the transporter's client, since that trims the stream at 10 000 entries, also of what nobody
 * has read.
 */
export async function startTransporter(setup: Parameters): Promise<ServedSubject> {
  const { url, service, batchSize } = setup as {
    readonly url: string;
    readonly service: string;
    readonly batchSize?: number;
  };
  Logger.overrideLogger(['error', 'fatal']);
  const server = new RedisStreamServer({
    url,
    streamPrefix: service,
    consumerGroup: GROUP,
    ...(batchSize === undefined ? {} : { batchSize }),
  });
  const work = new CountedWork();
  server.addHandler(PATTERN, ({ name }: { readonly name: string }) => work.handle(name), true);
  let failure: unknown;
  await server.listen((error?: unknown) => void (failure = error));
  if (failure !== undefined) throw new Error('The transporter does not listen.', { cause: failure });
  const redis = new Redis(url);
  const stream = `${service}:${PATTERN}`;
  const pending = async (): Promise<number> => Number(((await redis.xpending(stream, GROUP)) as [number])[0]);
  const backlog = new TimedBacklog(work, {
    add: (run, count) =>
      inChunks(count, async (from, to) => {
        const pipeline = redis.pipeline();
        for (let i = from; i < to; i++)
          pipeline.xadd(stream, '*', 'e', '1', 'data', JSON.stringify({ name: nameOf(run, i), ...infoOf(i) }));
        await pipeline.exec();
      }),
    finished: (count) => work.untilSeen(count),
    async check() {
      const description = 'nothing pending at the transporter';
      await waitFor(async () => (await pending()) === 0, { timeoutMs: PENDING_TIMEOUT_MS, description });
      await redis.xtrim(stream, 'MAXLEN', 0);
    },
  });
  const stop = async (): Promise<void> => {
    await server.close();
    redis.disconnect();
  };
  return { run: backlog.run, stop };
}
