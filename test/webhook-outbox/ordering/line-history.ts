import type { ReceivedWebhook, WebhookAnswer } from '@nest-baton/testing';

import { placedOf } from './lines.js';
import type { OutboxWorld } from '../support/outbox-world.js';

interface Arrival {
  readonly n: number;
  readonly key: string;
  readonly request: ReceivedWebhook;
  /** Numbers of its key that had been answered with 2xx when it came. */
  readonly answered: ReadonlySet<number>;
}

/**
 * What a receiver saw of lines, to be held against the order of commits.
 *
 * A request that has been answered is one whose status is set, which is before the first byte of the answer: so whoever sends because of it comes later.
 */
export class LineHistory {
  readonly arrivals: Arrival[] = [];

  /** @param answer of a request, by chance; 204 is success. */
  constructor(
    world: OutboxWorld,
    private readonly path: string,
    answer: () => WebhookAnswer,
  ) {
    world.receiver.answerWhere({ path: `/${path}` }, (request) => {
      const { key, n } = placedOf(request);
      const answered = this.arrivals.filter((one) => one.key === key && one.request.status === 204).map((one) => one.n);
      this.arrivals.push({ key, n, request, answered: new Set(answered) });
      return answer();
    });
  }

  /** The numbers of a key by the first request that was answered with 2xx. */
  firstSuccesses(key: string): number[] {
    return [
      ...new Set(
        this.of(key)
          .filter(({ request }) => request.status === 204)
          .map(({ n }) => n),
      ),
    ];
  }

  /** Requests that came although one before them in the order had not been answered with 2xx: never any. */
  tooEarly(key: string, committed: readonly number[]): string[] {
    return this.of(key).flatMap(({ n, answered }) =>
      committed
        .slice(0, committed.indexOf(n))
        .filter((earlier) => !answered.has(earlier))
        .map((earlier) => `${n} before ${earlier}`),
    );
  }

  /** Requests of each number that came after it had been answered with 2xx, or while one before them had no end: the repetitions that losing a lease makes. */
  repetitions(key: string): Map<number, number> {
    const counts = new Map<number, number>();
    for (const { n, answered } of this.of(key)) if (answered.has(n)) counts.set(n, (counts.get(n) ?? 0) + 1);
    return counts;
  }

  private of(key: string): readonly Arrival[] {
    return this.arrivals.filter((one) => one.key === key);
  }

  toString(): string {
    return `${this.path}: ${this.arrivals.length} requests`;
  }
}
