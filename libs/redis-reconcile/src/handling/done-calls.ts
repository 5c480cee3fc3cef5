import type { Partition, Settled } from '../partitions/partition.js';
import type { OwnedHandoff } from './owned-handoff.js';

/** Hand-offs that one script ends: bounds its time. */
const MAX_CALL = 100;

interface Waiting {
  readonly handoff: OwnedHandoff;
  readonly resolve: (settled: Settled) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Tells Redis what is done: all of one turn of the event loop in one call a partition.
 *
 * - Nothing waits for others that may come: a lone hand-off goes out at the end of the turn in which it was done.
 * - Each gets its own answer. An error of the call is an error of all in it; an error of one is its alone. Either leaves its owner in doubt.
 */
export class DoneCalls {
  private readonly waiting = new Map<Partition, Waiting[]>();

  /** @throws RedisUnavailableError: it may have arrived. */
  add(handoff: OwnedHandoff): Promise<Settled> {
    return new Promise((resolve, reject) => {
      const others = this.waiting.get(handoff.partition);
      if (others !== undefined) return void others.push({ handoff, resolve, reject });
      this.waiting.set(handoff.partition, [{ handoff, resolve, reject }]);
      setImmediate(() => this.send(handoff.partition));
    });
  }

  private send(partition: Partition): void {
    const all = this.waiting.get(partition) ?? [];
    this.waiting.delete(partition);
    for (let i = 0; i < all.length; i += MAX_CALL) void this.call(partition, all.slice(i, i + MAX_CALL));
  }

  private async call(partition: Partition, calls: readonly Waiting[]): Promise<void> {
    try {
      const answers = await partition.done(
        calls.map(({ handoff }) => ({
          dataStream: handoff.dataStream,
          id: handoff.id,
          token: handoff.token,
          isRetry: handoff.isRetryOf('done'),
        })),
      );
      calls.forEach((call, i) => {
        const answer = answers[i] ?? 'lost';
        if (typeof answer === 'string') call.resolve(answer);
        else fail(call, answer);
      });
    } catch (error) {
      for (const call of calls) fail(call, error);
    }
  }
}

function fail({ handoff, reject }: Waiting, error: unknown): void {
  handoff.doubt('done');
  reject(error);
}
