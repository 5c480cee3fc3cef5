import type { Redis } from 'ioredis';

const LEASE_MS = 10_000;
const BLOCK_MS = 1_000;

/** Still mine? Then acknowledged, gone from the stream, lease given up; all at once. */
const ACK = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('XACK', KEYS[1], ARGV[2], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[2])
return 1`;

type Page = [stream: string, entries: [id: string, fields: string[]][]][] | null;

/**
 * The least code that owns each entry under a lease and acknowledges it only while it does: read, lease, work, one script each. No fence, no
 * renewal, no recovery, no two entries of one data stream. Written before anything was tuned.
 */
export class LeaseAndAckLoop {
  constructor(
    private readonly redis: Redis,
    private readonly stream: string,
    private readonly group: string,
    private readonly concurrency: number,
  ) {}

  async run(count: number, handle: (dataStream: string, info: unknown) => Promise<void>): Promise<number> {
    const { redis, stream, group, concurrency } = this;
    const sha = (await redis.script('LOAD', ACK)) as string;
    let done = 0;
    while (done < count) {
      const read = ['XREADGROUP', 'GROUP', group, 'me', 'COUNT', concurrency, 'BLOCK', BLOCK_MS] as const;
      const page = (await redis.call(...read, 'STREAMS', stream, '>')) as Page;
      const entries = page?.[0]?.[1] ?? [];
      const leases = redis.pipeline();
      for (const [id] of entries) leases.set(`${stream}:lease:${id}`, 'me', 'PX', LEASE_MS, 'NX');
      await leases.exec();
      await Promise.all(entries.map(([, [, dataStream = '', , info = '']]) => handle(dataStream, JSON.parse(info))));
      const acks = redis.pipeline();
      for (const [id] of entries) acks.evalsha(sha, 2, stream, `${stream}:lease:${id}`, 'me', group, id);
      for (const [error, isMine] of (await acks.exec()) ?? []) if (error === null && isMine === 1) done++;
    }
    return done;
  }
}
