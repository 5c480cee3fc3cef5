import { OptionsInvalidError } from '@nest-baton/core';
import { isConflict, isLostConnection } from '../connecting/lost-connection.js';
import { repeatWhileLost } from '../connecting/patience.js';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { busyError, conflictError, isLockTimeout, lostError } from '../flushing/write-failures.js';
import { StreamNotFoundError } from '../pg-stream.errors.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import type { StreamHints } from '../waking/stream-hints.js';
import { checkGroup, checkStreamName } from '../writing/call-check.js';
import { KeepingStore } from './keeping-store.js';
import { RetentionStore } from './retention-store.js';
import { StreamRetention } from './stream-retention.js';
import { StreamSweeper, type StreamSweeperOptions } from './stream-sweeper.js';

export interface TrimOptions {
  /** Index of the first chunk that stays. At most what is stored is trimmed, however large it is. */
  readonly before: number;
}

/**
 * What is kept, and for how long.
 *
 * A trim or a delete holds from its commit on for every reader; the room comes back in batches after it, see `StreamSweeper`.
 */
export class StreamKeeping {
  private readonly store: KeepingStore;
  private readonly sweeper: StreamSweeper;

  constructor(
    private readonly database: StreamDatabase,
    private readonly options: ResolvedPgStreamOptions,
    private readonly hints: StreamHints,
    observing: Pick<StreamSweeperOptions, 'instance' | 'registry' | 'events' | 'metrics'>,
  ) {
    this.store = new KeepingStore(database, options.schema);
    const moved = (stream: string): void => hints.moved(stream);
    const retention = new StreamRetention({
      store: new RetentionStore(database, options.schema),
      limits: options.retention,
      moved,
      metrics: observing.metrics,
    });
    this.sweeper = new StreamSweeper({
      ...observing,
      store: this.store,
      retention,
      moved,
      sweepIntervalMs: options.sweepIntervalMs,
    });
  }

  async list(group: string): Promise<string[]> {
    checkGroup(group);
    return this.store.list(group);
  }

  async trim(stream: string, { before }: TrimOptions): Promise<void> {
    checkStreamName(stream);
    if (!Number.isSafeInteger(before) || before < 0)
      throw new OptionsInvalidError('trimming a stream', [
        `before must be a safe integer of at least 0, not ${String(before)}`,
      ]);
    if (!(await this.typed(stream, () => this.store.trim(stream, before, this.options.lockTimeoutMs))))
      throw new StreamNotFoundError(`nobody has opened or written the stream '${stream}'.`);
    this.sweeper.notify();
  }

  async delete(stream: string): Promise<void> {
    checkStreamName(stream);
    // Its number first: a repetition must not take a stream that was created after the first attempt.
    const id = await this.typed(stream, () => this.store.find(stream));
    if (id === undefined) return;
    await this.typed(stream, () => this.store.delete(id, stream, this.options.lockTimeoutMs));
    this.hints.moved(stream);
    this.sweeper.notify();
  }

  start(): void {
    this.sweeper.start();
  }

  stop(): Promise<void> {
    return this.sweeper.stop();
  }

  /** Both may run twice. */
  private async typed<T>(stream: string, run: () => Promise<T>): Promise<T> {
    try {
      return (await repeatWhileLost(run, this.database.whenClosed)).result;
    } catch (error) {
      if (isConflict(error)) throw conflictError(stream, error);
      if (isLockTimeout(error)) throw busyError(stream, error);
      if (!isLostConnection(error)) throw error;
      throw lostError(stream, error.wasSent, error.cause);
    }
  }
}
