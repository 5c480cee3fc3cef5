/** One way to keep streams in Postgres, as its users call it. All of them get the same bytes, the same calls and the same server. */
export interface StreamSubject {
  readonly name: string;
  /** Resolves when an append has been committed. */
  append(stream: string, chunk: Buffer): Promise<unknown>;
  /** Absent where the subject has no such call. */
  readonly appendMany: ((stream: string, chunks: Buffer[]) => Promise<unknown>) | undefined;
  /** Follows a stream from its start; resolves when the reader was asked to read, and gives the function that ends it. */
  read(stream: string, onChunk: (data: Uint8Array) => void): Promise<() => Promise<void>>;
  /** Chunks that are really in the table. */
  count(): Promise<number>;
  /** Empties the tables, so that each sample begins with the same. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** As in the figures of the reference: about 200 bytes of text. */
export const CHUNK_BYTES = 200;

export const CHUNK = Buffer.alloc(CHUNK_BYTES, 'the quick brown fox jumps over the lazy dog ');
