import { BatonError } from '@nest-baton/core';
import { sharedRedisUrl } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, keysOf, openRedis, startInstances } from './support/instance.js';

describe('errors', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const failure = (promise: Promise<unknown>): Promise<BatonError> =>
    promise.then(
      () => {
        throw new Error('it did not fail');
      },
      (error: unknown) => error as BatonError,
    );

  it('of what Redis does not answer say where it was, whether to try again, and why (B47)', async () => {
    let isAway = false;
    const reason = new Error('read ECONNRESET');
    const instance = new HookedRedis(sharedRedisUrl(), () => (isAway ? reason : undefined));
    const { service } = await start({ service: freshService(), options: { connection: { instance } } });
    isAway = true;
    for (const call of [
      service.produce('x'),
      service.stats(),
      service.claim({ dataStream: 'x' }),
      service.deadLetters.get('x'),
      service.deadLetters.redriveAll(),
    ]) {
      const error = await failure(call);
      expect(error).toBeInstanceOf(BatonError);
      expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', retryable: true, cause: reason });
      expect(error.message).toContain('Redis at 127.0.0.1:');
    }
    isAway = false;
    instance.disconnect();
  });

  it('of a key of another type say what to do, with the word of the server as cause', async () => {
    const name = freshService();
    const { service } = await start({ service: name });
    await redis.set(keysOf(name).stream, 'not a stream');
    for (const call of [service.produce('x'), service.stats()]) {
      const error = await failure(call);
      expect(error).toMatchObject({ code: 'KEY_TYPE_CONFLICT', retryable: false });
      expect((error.cause as Error).message).toContain('WRONGTYPE');
      expect(error.message).toContain('choose another');
    }
    await redis.del(keysOf(name).stream);
    await redis.set(keysOf(name).dlq, 'not a stream');
    expect(await failure(service.deadLetters.list())).toMatchObject({ code: 'KEY_TYPE_CONFLICT' });
    await service.produce('x');
  });

  it('of an info that is no JSON keep what JSON said', async () => {
    const { service } = await start({ service: freshService() });
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const error = await failure(service.produce('x', { info: circle }));
    expect(error).toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(String((error.cause as Error).message)).toContain('circular');
  });
});
