import type { Chunk } from '../reading/chunk.js';
import type { StreamReading } from '../reading/stream-reading.js';

/**
 * The bytes of one reading as a web stream.
 *
 * - Pull-driven: nothing is read ahead of the consumer, beyond the page that the reading holds.
 * - The consumer owns what it gets: readers of one stream may share a page, and a byte stream takes a buffer away from whoever has it.
 * - Chunks without bytes are passed over, since a byte stream cannot carry them.
 * - `cancel()` frees the reading at once, also while it waits.
 */
export function readableOf(reading: StreamReading): ReadableStream<Uint8Array> {
  const chunks = reading[Symbol.asyncIterator]();
  let isCancelled = false;
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      const next = await nextWithBytes(chunks);
      // Cancelled meanwhile: the stream is closed, and takes nothing any more.
      if (isCancelled) return;
      if (next !== undefined) controller.enqueue(new Uint8Array(next.data));
      else {
        controller.close();
        // A consumer that brought a buffer of its own waits until it gets it back.
        controller.byobRequest?.respond(0);
      }
    },
    async cancel() {
      isCancelled = true;
      await chunks.return?.();
    },
  });
}

async function nextWithBytes(chunks: AsyncIterator<Chunk, void, void>): Promise<Chunk | undefined> {
  for (;;) {
    const { done, value } = await chunks.next();
    if (done === true) return undefined;
    if (value.data.length > 0) return value;
  }
}
