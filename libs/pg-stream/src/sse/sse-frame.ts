import { isUtf8 } from 'node:buffer';
import type { Chunk, StreamEnd } from '../reading/chunk.js';

/**
 * One chunk as an event. Pure. The data is one line of JSON, since raw text cannot cross SSE byte for byte: CR, LF and CRLF all read back as
 * LF, and a `data:` inside would be a field of its own.
 */
export function chunkFrame(chunk: Chunk): string {
  return frame(chunk.cursor, 'chunk', chunkBody(chunk));
}

/** Text where the bytes are UTF-8, else base64. Pure. */
export function chunkBody({ index, data }: Chunk): object {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return isUtf8(bytes) ? { index, text: bytes.toString('utf8') } : { index, base64: bytes.toString('base64') };
}

/** How the stream ended, with an id of its own: whoever has it has seen everything. Pure. */
export function endFrame(cursor: string, end: StreamEnd): string {
  return frame(cursor, 'end', endBody(end));
}

export function endBody({ status, message }: StreamEnd): object {
  return message === undefined ? { status } : { status, message };
}

/** A comment, which clients ignore. */
export const HEARTBEAT_FRAME = ':\n\n';

function frame(id: string, event: 'chunk' | 'end', body: object): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(body)}\n\n`;
}
