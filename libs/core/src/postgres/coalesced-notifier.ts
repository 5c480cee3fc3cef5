/** `pg_notify` refuses 8 000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_999;

/** What a notification names: the topics that moved, or `'*'` for "too many to name, look at everything". */
export type NotifiedTopics = readonly string[] | '*';

export interface CoalescedNotifierOptions {
  /** Sends one NOTIFY, on a connection of its own or of a pool, outside every transaction of users. */
  readonly send: (payload: string) => Promise<void>;
  /** A notification that was not sent. It is not repeated: it is a hint, and a scan finds what it would have announced. */
  readonly onError: (error: unknown) => void;
}

/**
 * Tells other processes which topics moved, with at most one NOTIFY in flight.
 *
 * - The first leaves at once; what is notified while it is in flight leaves together in one NOTIFY after it.
 * - `notify()` never waits and never throws: each commit with a NOTIFY takes a lock that is global to the database cluster, so notifying once
 *   for each append would serialise all writers.
 */
export class CoalescedNotifier {
  private readonly pending = new Set<string>();
  private current: Promise<void> | undefined;
  private isStopped = false;

  constructor(private readonly options: CoalescedNotifierOptions) {}

  notify(topic: string): void {
    if (this.isStopped) return;
    this.pending.add(topic);
    this.current ??= this.sendAll();
  }

  /** Sends what is pending, then nothing more. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.current;
  }

  private async sendAll(): Promise<void> {
    while (this.pending.size > 0) {
      const payload = encodeTopics([...this.pending]);
      this.pending.clear();
      try {
        await this.options.send(payload);
      } catch (error) {
        this.options.onError(error);
      }
    }
    this.current = undefined;
  }
}

/** A payload that `pg_notify` accepts: a JSON list of topics, or `*` when they do not fit. */
export function encodeTopics(topics: readonly string[]): string {
  const payload = JSON.stringify(topics);
  return Buffer.byteLength(payload) <= MAX_PAYLOAD_BYTES ? payload : '*';
}

/** Anybody may notify on the channel: what cannot be read means `'*'`, which costs time and never correctness. */
export function decodeTopics(payload: string): NotifiedTopics {
  if (payload === '*') return '*';
  try {
    const topics: unknown = JSON.parse(payload);
    if (Array.isArray(topics) && topics.every((topic) => typeof topic === 'string')) return topics;
  } catch {
    // not ours
  }
  return '*';
}
