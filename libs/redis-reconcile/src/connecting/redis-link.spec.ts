import { EventEmitter } from 'node:events';
import { systemClock } from '@nest-baton/core';
import { CommandConnection } from './command-connection.js';
import { RedisLink } from './redis-link.js';

describe('RedisLink', () => {
  it('gives the wait for the connection and the command one timeout together', async () => {
    const redis = Object.assign(new EventEmitter(), { status: 'connecting', disconnect: () => undefined });
    const source = { commands: () => redis, address: 'nowhere', suspect: () => undefined, close: () => undefined };
    const connection = new CommandConnection(source as never);
    const link = new RedisLink(connection, 400, systemClock);
    const at = performance.now();
    const call = link.call(() => new Promise(() => undefined));
    setTimeout(() => redis.emit('ready'), 300);
    await expect(call).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      message: expect.stringContaining('no answer within 400 ms'),
    });
    expect(performance.now() - at).toBeLessThan(600);
    connection.close();
  });
});
