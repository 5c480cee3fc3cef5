// Setting up
export { PgStreamModule } from './pg-stream.module.js';
export { getPgStreamToken, InjectPgStream } from './pg-stream.module-definition.js';
export {
  PG_STREAM_ENVIRONMENT,
  type PgStreamOptions,
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
export type {
  Chunk,
  Page,
  PageOptions,
  ReadOptions,
  SseOptions,
  StreamEnd,
  StreamInfo,
  StreamReader,
  StreamStatus,
} from './reading/chunk.js';

// Operating
export type { PgStreamEvents } from './pg-stream.events.js';
export { PG_STREAM_METRICS } from './pg-stream.metrics.js';
export type { PgStreamHealth } from './operating/stream-health.js';
export type { PgStreamStats } from './pg-stream.service.js';

// Errors
export {
  AppendUnknownError,
  ChunkTooLargeError,
  CursorInvalidError,
  ProducerFencedError,
  ProducerSeqGapError,
  StreamClosedError,
  StreamDamagedError,
  StreamNameInvalidError,
  StreamNotFoundError,
  StreamUnavailableError,
  WriterQueueFullError,
} from './pg-stream.errors.js';
