import { freshDatabase, sharedRedisUrl } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { Client } from 'pg';

describe('the servers that a run shares', () => {
  it('gives each suite a database of its own, which is gone after drop()', async () => {
    const [one, two] = await Promise.all([freshDatabase(), freshDatabase()]);
    const client = new Client({ connectionString: one.url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('CREATE TABLE t (id int)');
    const other = new Client({ connectionString: two.url });
    await other.connect();
    await expect(other.query('SELECT * FROM t')).rejects.toMatchObject({ code: '42P01' });
    await one.drop();
    await one.drop();
    const { rows } = await other.query('SELECT 1 FROM pg_database WHERE datname = $1', [
      new URL(one.url).pathname.slice(1),
    ]);
    expect(rows).toEqual([]);
    await other.end();
    await two.drop();
  });

  it('answers on the shared Redis', async () => {
    const redis = new Redis(sharedRedisUrl());
    expect(await redis.ping()).toBe('PONG');
    await redis.quit();
  });
});
