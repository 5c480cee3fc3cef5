// Setting up
export { PgStreamModule } from './pg-stream.module.js';
export { getPgStreamToken, InjectPgStream } from './pg-stream.module-definition.js';
export {
  PG_STREAM_ENVIRONMENT,
  type PgStreamOptions,
  type RetentionOptions,
  pgStreamOptionsFromEnv,
  type ResolvedPgStreamOptions,
  resolvePgStreamOptions,
} from './pg-stream.options.js';
export type { PgPoolClientLike, PgPoolLike } from './connecting/pg-pool.js';

// Writing
export { PgStreamService } from './pg-stream.service.js';
export type { StreamWriter } from './writing/stream-writer.js';
export type { Appended, AppendOptions, CloseOptions, OpenOptions, Producer } from './writing/append-options.js';

// Reading
export { LastEventId } from './faces/last-event-id.decorator.js';
export type {
  Chunk,
  EventsOptions,
  Page,
  PageOptions,
  ReadOptions,
  SseOptions,
  StreamEnd,
  StreamInfo,
  StreamReader,
  StreamStatus,
} from './reading/chunk.js';

// Keeping
export type { TrimOptions } from './keeping/stream-keeping.js';

// Operating
export type { PgStreamEvents } from './pg-stream.events.js';
export { PG_STREAM_METRICS } from './pg-stream.metrics.js';
export type { PgStreamHealth } from './operating/stream-health.js';
export type { PgStreamStats } from './operating/stream-stats.js';

// Errors
export {
  AppendUnknownError,
  ChunkTooLargeError,
  CursorInvalidError,
  CursorTrimmedError,
  ExpectedIndexMismatchError,
  ProducerFencedError,
  ProducerSeqGapError,
  StreamBusyError,
  StreamClosedError,
  StreamDamagedError,
  StreamDeletedError,
  StreamExistsError,
  StreamNameInvalidError,
  StreamNotFoundError,
  StreamUnavailableError,
  WriterQueueFullError,
} from './pg-stream.errors.js';
