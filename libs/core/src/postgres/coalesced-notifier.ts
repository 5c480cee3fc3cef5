import { guardedCall } from '../guarded-call.js';

/** `pg_notify` refuses 8 000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_999;

/** More topics than this fit no payload: each takes at least two quotes, a letter and a comma. */
const MAX_PENDING_TOPICS = 2_000;

/** A NOTIFY is a hint: one that is not answered by then is not worth a shutdown's time. */
const STOP_TIMEOUT_MS = 1_000;

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
 * - Memory is bounded: beyond 2 000 waiting topics the next NOTIFY says `*`.
 */
export class CoalescedNotifier {
  private readonly pending = new Set<string>();
  private isEverythingPending = false;
  private isSending = false;
  private current: Promise<void> | undefined;
  private isStopped = false;

  constructor(private readonly options: CoalescedNotifierOptions) {}

  notify(topic: string): void {
    if (this.isStopped) return;
    this.add(topic);
    if (this.isSending) return;
    // Set before the first send begins: it may notify, throw or end before it returns its promise.
    this.isSending = true;
    this.current = this.sendAll();
  }

  /** Sends what is pending, then nothing more. Waits at most a second for a send that is not answered, and drops what is behind it. */
  async stop(): Promise<void> {
    this.isStopped = true;
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<void>((resolve) => (timer = setTimeout(resolve, STOP_TIMEOUT_MS)));
    await Promise.race([this.current, timedOut]);
    clearTimeout(timer);
    this.take();
  }

  private async sendAll(): Promise<void> {
    for (let payload = this.take(); payload !== undefined; payload = this.take()) {
      try {
        await this.options.send(payload);
      } catch (error) {
        guardedCall('onError of a notifier', () => this.options.onError(error));
      }
    }
    this.isSending = false;
  }

  private add(topic: string): void {
    if (this.isEverythingPending) return;
    this.pending.add(topic);
    if (this.pending.size <= MAX_PENDING_TOPICS) return;
    this.pending.clear();
    this.isEverythingPending = true;
  }

  private take(): string | undefined {
    const payload = this.isEverythingPending
      ? '*'
      : this.pending.size > 0
        ? encodeTopics([...this.pending])
        : undefined;
    this.pending.clear();
    this.isEverythingPending = false;
    return payload;
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
