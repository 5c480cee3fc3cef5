import { systemClock } from '@nest-baton/core';
import { sharedRedisUrl } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { CommandConnection } from '../../../libs/redis-reconcile/src/connecting/command-connection.js';
import { RedisLink } from '../../../libs/redis-reconcile/src/connecting/redis-link.js';
import { SingleSource } from '../../../libs/redis-reconcile/src/connecting/single-source.js';
import { Partition } from '../../../libs/redis-reconcile/src/partitions/partition.js';
import { PartitionKeys } from '../../../libs/redis-reconcile/src/partitions/partition-keys.js';
import { decodeEntry } from '../../../libs/redis-reconcile/src/producing/handoff-entry.js';
import type { Script } from '../../../libs/redis-reconcile/src/scripts/script.js';
import { openRedis } from './instance.js';

const TIMEOUT_MS = 60_000;

/** Transitions one by one, without anything that runs. */
export class ByHand {
  private readonly connection = new CommandConnection(new SingleSource({ url: sharedRedisUrl() }, TIMEOUT_MS));
  private readonly link = new RedisLink(this.connection, TIMEOUT_MS, systemClock);

  constructor(readonly redis: Redis) {}

  partition(service: string, index = 0, partitions = 1): Partition {
    return new Partition(new PartitionKeys(service, index, partitions, 'dlq'), this.link);
  }

  /** The same, but each of its scripts breaks off after so many commands: what they wrote before stays. */
  breakingOff({ keys }: Partition, after: number): Partition {
    const link = {
      script: (script: Script, names: readonly string[], args: readonly (string | number)[]) =>
        this.redis.eval(`${breakOffAfter(after)}\n${script.text}`, names.length, ...names, ...args),
    };
    return new Partition(keys, link as unknown as RedisLink);
  }

  async read(
    { keys }: Partition,
    consumer: string,
    count = 100,
  ): Promise<{ id: string; dataStream: string; handoffId: string }[]> {
    const words = ['GROUP', 'owners', consumer, 'COUNT', count, 'STREAMS', keys.stream, '>'];
    const reply = (await this.redis.call('XREADGROUP', ...words)) as [string, [string, string[]][]][] | null;
    return (reply?.[0]?.[1] ?? []).flatMap(([id, fields]) => {
      const decoded = decodeEntry(id, fields);
      return decoded.kind === 'handoff' ? [decoded.entry] : [];
    });
  }

  close(): void {
    this.connection.close();
  }
}

/** For one suite. */
export function useByHand(): { readonly redis: Redis; readonly hand: ByHand } {
  const redis = openRedis();
  const hand = new ByHand(redis);
  afterAll(() => {
    hand.close();
    redis.disconnect();
  });
  return { redis, hand };
}

/** Lua that takes the place of `redis` for the rest of a script. */
function breakOffAfter(commands: number): string {
  return `
local real, left = redis, ${commands}
local function counted(name)
  return function(...)
    if left == 0 then error('broken off') end
    left = left - 1
    return real[name](...)
  end
end
local redis = setmetatable({ call = counted('call'), pcall = counted('pcall') }, { __index = real })`;
}
