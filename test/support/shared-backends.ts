/**
 * Starts the Postgres and the Redis that all suites of a run share, prints where they are as one line of JSON, and stops them when its input ends.
 * A process of its own, since Jest loads its global set-up as plain JavaScript.
 */
import { startPostgres, startRedis } from '@nest-baton/testing';

const started = await Promise.allSettled([startPostgres(), startRedis()]);
const [postgres, redis] = started;
const stopAll = () =>
  Promise.all(started.map(async (one) => (one.status === 'fulfilled' ? one.value.stop() : undefined)));

if (postgres.status === 'fulfilled' && redis.status === 'fulfilled') {
  const view = ({ url, origin }: { url: string; origin: string }) => ({ url, origin });
  process.stdout.write(`${JSON.stringify({ postgres: view(postgres.value), redis: view(redis.value) })}\n`);
  // A Ctrl-C reaches this process too; the suites end first, and then the input does.
  process.on('SIGINT', () => undefined);
  process.stdin.resume();
  process.stdin.on('end', () => void stopAll());
} else {
  for (const one of started) if (one.status === 'rejected') console.error(String(one.reason));
  await stopAll();
  process.exitCode = 1;
}
