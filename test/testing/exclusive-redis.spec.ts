import { existsSync } from 'node:fs';
import { type ExclusiveRedis, startRedis } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { isAlive, processesNaming } from './support/leftovers.js';

/** One connection, no second try: what the server does is seen at once. */
function connect(url: string): Redis {
  const redis = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0, commandTimeout: 300 });
  redis.on('error', () => undefined);
  return redis;
}

async function whereabouts(redis: Redis): Promise<{ pid: number; folder: string }> {
  const [, folder = ''] = (await redis.config('GET', 'dir')) as string[];
  return { pid: Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]), folder };
}

describe('a Redis of its own', () => {
  let server: ExclusiveRedis;
  let redis: Redis;

  beforeEach(async () => {
    server = await startRedis({ exclusive: true });
    redis = connect(server.url);
  });

  afterEach(async () => {
    redis.disconnect();
    await server.stop();
  });

  it('does not answer while it is frozen, and goes on where it was afterwards', async () => {
    await redis.set('key', 'value');
    server.freeze();
    await expect(redis.get('key')).rejects.toMatchObject({ message: 'Command timed out' });
    server.thaw();
    expect(await redis.get('key')).toBe('value');
  });

  it('is empty after a restart, on the same URL', async () => {
    await redis.set('key', 'value');
    await server.restart();
    const again = connect(server.url);
    expect(await again.get('key')).toBeNull();
    again.disconnect();
  });

  it('refuses connections once killed, until it is restarted', async () => {
    await server.kill();
    const refused = connect(server.url);
    await expect(refused.ping()).rejects.toThrow();
    refused.disconnect();
    await server.restart();
    const again = connect(server.url);
    expect(await again.ping()).toBe('PONG');
    again.disconnect();
  });

  it('cannot be frozen once killed, for nobody would be frozen', async () => {
    await server.kill();
    expect(() => server.freeze()).toThrow(expect.objectContaining({ code: 'BACKEND_FAILED' }));
    server.thaw();
  });

  it('leaves no process and no folder when it is stopped in the middle of a restart', async () => {
    const { folder } = await whereabouts(redis);
    const restarted = server.restart().catch((error: unknown) => error);
    await server.stop();
    expect(await restarted).toMatchObject({ code: 'BACKEND_FAILED', message: 'redis-server was stopped for good.' });
    expect(processesNaming(folder)).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  it('leaves no process and no folder when it is stopped, also frozen, also twice, and no trace in another', async () => {
    const other = await startRedis({ exclusive: true });
    const { pid, folder } = await whereabouts(redis);
    expect(existsSync(folder)).toBe(true);
    server.freeze();
    await server.stop();
    await server.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
    const client = connect(other.url);
    expect(await client.ping()).toBe('PONG');
    client.disconnect();
    await other.stop();
  });
});
