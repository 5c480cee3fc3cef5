import type { TransactionLike } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { GroupCommit } from '../flushing/group-commit.js';
import { MAX_LANES } from '../flushing/lanes.js';
import { OwnConnection } from '../flushing/own-connection.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import type { StreamHints } from '../waking/stream-hints.js';
import type { Appended, AppendOptions, CloseOptions, OpenOptions } from './append-options.js';
import {
  checkExpectedIndex,
  checkGroup,
  checkProducer,
  checkStreamName,
  toChunks,
  toEnd,
  toLeaseMs,
  toMustCreate,
} from './call-check.js';
import { measuredAppend } from './measured-append.js';
import { StreamAppender } from './stream-appender.js';
import { NumberingWriter, type StreamWriter } from './stream-writer.js';
import { WritingStore } from './writing-store.js';

/** Waits for no lock, so it is slow only when the server is; and a dead network path answers nothing. */
const FLUSH_TIMEOUT_MS = 10_000;

/** A lane is needed rarely, and a second flusher only while many streams are written at once. */
const RARE_IDLE_MS = 10_000;

type WritingOptions = Pick<ResolvedPgStreamOptions, 'schema' | 'maxChunkBytes' | 'maxPendingBytes' | 'lockTimeoutMs'>;

/** Everything that writes: checks what is given before anything is written, and owns the connections on which commits are shared. */
export class StreamWriting {
  private readonly connections: readonly OwnConnection[];
  private readonly commits: GroupCommit;
  private readonly appender: StreamAppender;

  constructor(
    database: StreamDatabase,
    private readonly options: WritingOptions,
    hints: StreamHints,
    private readonly metrics: PgStreamMetrics,
  ) {
    const { schema, lockTimeoutMs, maxPendingBytes } = options;
    const store = new WritingStore(schema, (streams) => hints.announcementOf(streams));
    this.connections = connectionsOf(database, lockTimeoutMs, metrics);
    const [first = database, second = database, ...lanes] = this.connections;
    this.commits = new GroupCommit({
      store,
      flushers: [first, second],
      lanes: lanes.length > 0 ? lanes : Array.from({ length: MAX_LANES }, () => database),
      lockTimeoutMs,
      maxPendingBytes,
      moved: (stream, landed) => hints.appended(stream, landed),
      metrics,
    });
    this.appender = new StreamAppender(database, store, this.commits, hints, metrics, lockTimeoutMs);
  }

  /** Bytes that wait for their commit. */
  get pendingBytes(): number {
    return this.commits.pendingBytes;
  }

  async open(stream: string, options: OpenOptions): Promise<StreamWriter> {
    checkStreamName(stream);
    const { group, producer, writerLease, ifExists } = options;
    checkGroup(group);
    if (producer !== undefined) checkProducer(producer, ['epoch']);
    const leaseMs = toLeaseMs(writerLease);
    const mustCreate = toMustCreate(ifExists);
    const opened = await this.appender.open({ stream, group, producer, leaseMs, mustCreate });
    return new NumberingWriter(this.appender, stream, producer, opened, this.options, this.metrics);
  }

  append(stream: string, chunks: readonly (string | Uint8Array)[], options: AppendOptions): Promise<Appended> {
    const { transaction } = options;
    return measuredAppend(this.metrics, transaction !== undefined, () => {
      checkCall(stream, options);
      const { producer, expectedIndex } = options;
      const request = { stream, chunks: toChunks(chunks, this.options), producer, expectedIndex };
      return transaction === undefined ? this.appender.append(request) : this.appender.appendIn(transaction, request);
    });
  }

  async appendMany(
    stream: string,
    chunks: readonly (string | Uint8Array)[],
    options: AppendOptions,
  ): Promise<Appended> {
    if (chunks.length > 0) return this.append(stream, chunks, options);
    checkCall(stream, options);
    return { firstIndex: -1, lastIndex: -1, duplicate: false };
  }

  async close(stream: string, options: CloseOptions): Promise<void> {
    checkCall(stream, options);
    const { producer, expectedIndex, transaction } = options;
    const request = { stream, end: toEnd(options), producer, expectedIndex };
    await (transaction === undefined ? this.appender.close(request) : this.appender.closeIn(transaction, request));
  }

  /** Takes nothing more; returns when what was taken is answered, after about 5 s at the latest. */
  async stop(): Promise<void> {
    await this.commits.stop();
    for (const connection of this.connections) connection.close();
  }
}

function checkCall(
  stream: string,
  { producer, expectedIndex }: { readonly transaction?: TransactionLike } & AppendOptions,
): void {
  checkStreamName(stream);
  if (producer !== undefined) checkProducer(producer, ['epoch', 'seq']);
  checkExpectedIndex(expectedIndex);
}

/** Two flushers' and the lanes'; none with a pool that does not show its options. */
function connectionsOf(
  database: StreamDatabase,
  lockTimeoutMs: number,
  metrics: PgStreamMetrics,
): readonly OwnConnection[] {
  if (!database.canCreateClients) return [];
  const createClient = () => database.createWriteClient();
  const first = new OwnConnection({ createClient, timeoutMs: FLUSH_TIMEOUT_MS, metrics });
  const second = new OwnConnection({ createClient, timeoutMs: FLUSH_TIMEOUT_MS, idleMs: RARE_IDLE_MS, metrics });
  const timeoutMs = lockTimeoutMs + FLUSH_TIMEOUT_MS;
  const lanes = Array.from(
    { length: MAX_LANES },
    () => new OwnConnection({ createClient, timeoutMs, idleMs: RARE_IDLE_MS, metrics }),
  );
  return [first, second, ...lanes];
}
