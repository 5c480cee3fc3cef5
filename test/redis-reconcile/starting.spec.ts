import { Inject, Injectable, Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import {
  getRedisReconcileToken,
  type Handoff,
  HandoffHandler,
  InjectRedisReconcile,
  RedisReconcileModule,
  type RedisReconcileOptions,
  RedisReconcileService,
} from '@nest-baton/redis-reconcile';
import { RedisReconcileHealthModule, RedisTopologyHealthIndicator } from '@nest-baton/redis-reconcile/health';
import { freePort, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import { FAST, freshService, startInstance } from './support/instance.js';

describe('starting', () => {
  beforeAll(() => {
    Logger.overrideLogger(false);
  });

  const base = (service: string): RedisReconcileOptions => ({
    connection: { url: sharedRedisUrl() },
    consumerId: 'test',
    ...FAST,
    service,
  });

  it('runs several instances side by side, each with its handler, its name and its token', async () => {
    const seen: string[] = [];

    @Injectable()
    @HandoffHandler('mails', { concurrency: 2 })
    class Mails {
      async handle({ dataStream }: Handoff): Promise<void> {
        seen.push(`mails:${dataStream}`);
      }
    }

    @Injectable()
    @HandoffHandler()
    class Rest {
      async handle({ dataStream }: Handoff): Promise<void> {
        seen.push(`default:${dataStream}`);
      }
    }

    @Injectable()
    class Caller {
      constructor(
        @InjectRedisReconcile('mails') readonly mails: RedisReconcileService,
        @Inject(RedisReconcileService) readonly rest: RedisReconcileService,
      ) {}
    }

    const services = [freshService(), freshService()];
    const module = await Test.createTestingModule({
      imports: [
        ScheduleModule.forRoot(),
        RedisReconcileModule.forRootAsync({ name: 'mails', useFactory: () => base(services[0] ?? '') }),
        RedisReconcileModule.forRoot(base(services[1] ?? '')),
        RedisReconcileHealthModule,
      ],
      providers: [Mails, Rest, Caller],
    }).compile();
    await module.init();
    const caller = module.get(Caller);
    await caller.mails.produce('a');
    await caller.rest.produce('b');
    await waitFor(() => seen.length === 2, { description: 'both handlers ran' });
    expect(seen.sort()).toEqual(['default:b', 'mails:a']);
    const registry = module.get(SchedulerRegistry);
    await waitFor(
      () => ['mails', 'default'].every((name) => registry.getTimeouts().includes(`baton:redis-reconcile:${name}:scan`)),
      { description: 'the scans wait under stable names' },
    );
    const health = module.get(RedisTopologyHealthIndicator);
    expect(await health.isHealthy('redis', { name: 'mails' })).toMatchObject({
      redis: { status: 'up', mode: 'scanning' },
    });
    await module.close();
    expect(registry.getTimeouts()).toEqual([]);
    expect(await health.isHealthy('redis', { name: 'mails' })).toEqual({
      redis: { status: 'down', reason: 'closed', message: 'the application has shut down' },
    });
  });

  it('gives the class to the default instance alone', async () => {
    const module = await Test.createTestingModule({
      imports: [RedisReconcileModule.forRoot({ name: 'reports', ...base(freshService()) })],
    }).compile();
    await module.init();
    expect(module.get(getRedisReconcileToken('reports'))).toBeInstanceOf(RedisReconcileService);
    expect(() => module.get(RedisReconcileService, { strict: false })).toThrow(/does not exist/);
    await module.close();
  });

  it('takes its service’s name from the instance', async () => {
    const name = freshService();
    const { service: _service, ...options } = base('');
    const module = await Test.createTestingModule({
      imports: [RedisReconcileModule.forRoot({ name, ...options })],
    }).compile();
    await module.init();
    await module.close();
    const again = await startInstance({ service: name, options: { partitions: 2 } }).catch((error: unknown) => error);
    expect(again).toMatchObject({ code: 'PARTITIONS_MISMATCH', message: expect.stringContaining('1 partitions') });
  });

  it('is refused with another number of partitions than the one stored', async () => {
    const service = freshService();
    await (await startInstance({ service, options: { partitions: 3 } })).close();
    await expect(startInstance({ service, options: { partitions: 4 } })).rejects.toMatchObject({
      code: 'PARTITIONS_MISMATCH',
      message: expect.stringMatching(/3 partitions .* 4: set partitions to 3/),
    });
  });

  it('fails in one sentence with the remedy when there is no Redis', async () => {
    const url = `redis://user:secret@127.0.0.1:${await freePort()}`;
    const at = performance.now();
    const error = await startInstance({ service: freshService(), url }).catch((thrown: unknown) => thrown);
    expect(performance.now() - at).toBeLessThan(3000);
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', message: expect.stringContaining('Set connection.url') });
    expect((error as Error).message).not.toContain('secret');
  });

  it.each([
    ['two handlers of one instance', ['default', 'default'], 5, /at most one class/],
    ['a handler of an instance that nobody registered', ['defualt'], 5, /'defualt', which is not registered/],
    ['a concurrency of nothing', ['default'], 0, /concurrency of .* must be a whole number from 1/],
  ])('is refused for %s', async (_what, instances, concurrency, message) => {
    const providers = instances.map((instance) => {
      class Handler {
        async handle(): Promise<void> {
          // never called
        }
      }
      HandoffHandler(instance, { concurrency })(Handler);
      return Handler;
    });
    const module = await Test.createTestingModule({
      imports: [RedisReconcileModule.forRoot(base(freshService()))],
      providers: providers.map((useClass, i) => ({ provide: `handler-${i}`, useClass })),
    }).compile();
    await expect(module.init()).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      message: expect.stringMatching(message),
    });
  });
});
