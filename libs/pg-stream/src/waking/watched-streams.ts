import type { StreamSlice } from '../reading/slice.js';
import { topicOf } from './topic.js';

interface WatchedStream {
  readonly name: string;
  readonly topic: string;
  readers: number;
  revision: number;
  readonly waiting: Set<Waiting>;
}

interface Waiting {
  readonly position: number;
  readonly streamId: number | undefined;
  readonly wake: (landed?: StreamSlice) => void;
}

/** Of chunks that this process has just committed. Called only where somebody waits for them. */
export type Landed = () => StreamSlice | undefined;

/** What woke a reader, when that is all it was waiting for: it need not look. */
export interface Handed {
  readonly slice: StreamSlice;
  /** Of the stream's watch with this wake-up, and without any later one. */
  readonly revision: number;
}

/** One reader's eye on one stream. */
export interface StreamWatch {
  /** Grows with each wake-up. Remember it before a query, and give it to `changed` when the query found nothing. */
  readonly revision: number;
  /**
   * Resolves when the revision is no longer `since`, which may be at once: what moved during the query is never slept over. Also when `signal`
   * aborts. With `streamId` the reader has seen the stream of that number, and waits for no other one of its name; it is given the chunks that begin at
   * `position` of that stream, if they are what woke it.
   */
  changed(since: number, position: number, signal: AbortSignal, streamId?: number): Promise<Handed | undefined>;
  /** The reader was woken, and has a chunk that was written then. */
  delivered(writtenAt: Date): void;
  release(): void;
}

/**
 * Which streams have readers in this process, and who of them waits at which position.
 *
 * - Holds a stream as long as somebody reads it, and nothing after.
 * - A wake-up says only "look again": one too many costs a query, and one too few is found by the poll.
 */
export class WatchedStreams {
  private readonly byTopic = new Map<string, Map<string, WatchedStream>>();
  private watched = 0;

  constructor(private readonly onDelivered: (writtenAt: Date) => void = () => undefined) {}

  get size(): number {
    return this.watched;
  }

  watch(name: string): StreamWatch {
    const stream = this.obtain(name);
    stream.readers++;
    let isReleased = false;
    return {
      get revision() {
        return stream.revision;
      },
      changed: (since, position, signal, streamId) => changed(stream, since, { position, streamId }, signal),
      delivered: this.onDelivered,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        if (--stream.readers === 0) this.forget(stream);
      },
    };
  }

  /** @param landed gives what has moved it, where that is known. @returns whether it woke a reader of it: 1, or 0. */
  wakeStream(name: string, landed?: Landed): number {
    const stream = this.byTopic.get(topicOf(name))?.get(name);
    return stream === undefined ? 0 : wakeAll(stream, landed);
  }

  /** @returns how many streams it woke a reader of. */
  wakeTopic(topic: string): number {
    let woken = 0;
    for (const stream of this.byTopic.get(topic)?.values() ?? []) woken += wakeAll(stream);
    return woken;
  }

  /**
   * One entry a stream, with the lowest position at which somebody waits, and the lowest number of those that readers have seen: numbers grow, so
   * that is the one that has lost the name, if any has.
   */
  waiting(): { readonly names: string[]; readonly positions: number[]; readonly streamIds: (number | null)[] } {
    const names: string[] = [];
    const positions: number[] = [];
    const streamIds: (number | null)[] = [];
    for (const streams of this.byTopic.values())
      for (const { name, waiting } of streams.values()) {
        if (waiting.size === 0) continue;
        let lowest = Infinity;
        let oldest = Infinity;
        for (const { position, streamId = Infinity } of waiting) {
          lowest = Math.min(lowest, position);
          oldest = Math.min(oldest, streamId);
        }
        names.push(name);
        positions.push(lowest);
        streamIds.push(oldest === Infinity ? null : oldest);
      }
    return { names, positions, streamIds };
  }

  private obtain(name: string): WatchedStream {
    const topic = topicOf(name);
    const streams = this.byTopic.get(topic) ?? new Map<string, WatchedStream>();
    this.byTopic.set(topic, streams);
    const known = streams.get(name);
    if (known !== undefined) return known;
    const stream: WatchedStream = { name, topic, readers: 0, revision: 0, waiting: new Set() };
    streams.set(name, stream);
    this.watched++;
    return stream;
  }

  private forget({ name, topic }: WatchedStream): void {
    const streams = this.byTopic.get(topic);
    streams?.delete(name);
    if (streams?.size === 0) this.byTopic.delete(topic);
    this.watched--;
  }
}

function wakeAll(stream: WatchedStream, landed?: Landed): number {
  stream.revision++;
  const waiting = [...stream.waiting];
  if (waiting.length === 0) return 0;
  const slice = landed?.();
  for (const { wake } of waiting) wake(slice);
  return 1;
}

function changed(
  stream: WatchedStream,
  since: number,
  at: Omit<Waiting, 'wake'>,
  signal: AbortSignal,
): Promise<Handed | undefined> {
  if (stream.revision !== since || signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const waiting: Waiting = { ...at, wake };
    const left = (): void => wake();
    function wake(slice?: StreamSlice): void {
      stream.waiting.delete(waiting);
      signal.removeEventListener('abort', left);
      const isNext = slice?.streamId === at.streamId && slice?.position === at.position;
      resolve(slice !== undefined && isNext ? { slice, revision: stream.revision } : undefined);
    }
    stream.waiting.add(waiting);
    signal.addEventListener('abort', left);
  });
}
