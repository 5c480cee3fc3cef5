import { isVersionAtLeast, ServerUnsupportedError } from '@nest-baton/core';
import { PartitionsMismatchError } from '../redis-reconcile.errors.js';
import type { RedisLink } from './redis-link.js';

/** XPENDING with IDLE, exclusive ranges. */
const MINIMUM = '6.2';

/** @throws ServerUnsupportedError below Redis 6.2; RedisUnavailableError when it does not answer. */
export async function checkServer(link: RedisLink): Promise<void> {
  const info = await link.call((redis) => redis.info('server'));
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
  if (!isVersionAtLeast(version, MINIMUM))
    throw new ServerUnsupportedError(
      `RedisReconcileModule needs Redis ${MINIMUM} or newer, and this server is ${version === '' ? 'of an unknown version' : version}.`,
    );
}

/** Stores the number of partitions when nobody has. @throws PartitionsMismatchError when another number is stored. */
export async function fixPartitions(link: RedisLink, service: string, partitions: number): Promise<void> {
  const key = `{${service}}:meta`;
  await link.call((redis) => redis.hsetnx(key, 'partitions', partitions));
  const stored = await link.call((redis) => redis.hget(key, 'partitions'));
  if (stored === String(partitions)) return;
  throw new PartitionsMismatchError(
    `Service '${service}' was first started with ${stored} partitions and cannot run with ${partitions}: set partitions to ${stored}.`,
  );
}
