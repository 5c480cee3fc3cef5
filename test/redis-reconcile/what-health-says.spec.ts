import { RedisTopologyHealthIndicator } from '@nest-baton/redis-reconcile/health';
import { type ExclusiveRedis, startRedis } from '@nest-baton/testing';
import { HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { freshService, startInstances } from './support/instance.js';

describe('what health says', () => {
  const start = startInstances();
  const nothing = async (): Promise<void> => undefined;

  it('is up where events are off on purpose, and where this process has no handler', async () => {
    const scanning = await start({ service: freshService(), options: { keyspaceEvents: 'off' }, handle: nothing });
    const producing = await start({ service: freshService() });
    expect(await scanning.service.health()).toEqual({ state: 'up', mode: 'scanning' });
    expect(await producing.service.health()).toEqual({ state: 'up', mode: 'producing' });
  });

  it('is down, and does not throw, after the application has closed', async () => {
    const instance = await start({ service: freshService(), handle: nothing });
    await instance.close();
    expect(await instance.service.health()).toEqual({
      state: 'down',
      reason: 'closed',
      message: 'the application has shut down',
    });
  });

  describe('of a server that answers nothing', () => {
    let server: ExclusiveRedis;

    beforeAll(async () => void (server = await startRedis({ exclusive: true })));
    afterAll(() => server.stop());

    it('is down within 3 s, however long commands may take', async () => {
      const options = { commandTimeout: '60s' } as const;
      const { service } = await start({ url: server.url, service: freshService(), options });
      server.freeze();
      const at = performance.now();
      const down = { state: 'down', reason: 'redis', message: 'no answer within 3000 ms' };
      expect(await Promise.all([service.health(), service.health()])).toEqual([down, down]);
      expect(performance.now() - at).toBeLessThan(4_000);
      server.thaw();
      expect(await service.health()).toEqual({ state: 'up', mode: 'producing' });
    });
  });
});

describe('the health indicator', () => {
  it('says why it is degraded, also to a Terminus that has no such state', async () => {
    const module = await Test.createTestingModule({ imports: [TerminusModule] }).compile();
    const real = module.get(HealthIndicatorService, { strict: false });
    const shown = { mode: 'scanning', reason: 'events_lost', message: 'expiry events do not arrive' };
    const service = { get: () => ({ health: () => Promise.resolve({ state: 'degraded', ...shown }) }) };
    const newer = new RedisTopologyHealthIndicator(real, service as never);
    expect(await newer.isHealthy()).toEqual({ 'redis-topology': { status: 'degraded', ...shown } });
    const withoutDegraded = { check: (key: string) => Object.assign(real.check(key), { degraded: undefined }) };
    const older = new RedisTopologyHealthIndicator(withoutDegraded as never, service as never);
    expect(await older.isHealthy()).toEqual({ 'redis-topology': { status: 'up', degraded: true, ...shown } });
    await module.close();
  });
});
