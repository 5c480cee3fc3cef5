import type { IncomingMessage } from 'node:http';
import { ProtocolRefusal } from '../protocol/protocol-refusal.js';

/** Of a body that is too large: a client that sends more is cut, whether it has read the answer or not. */
const MAX_DRAINED_BYTES = 16 * 1024 * 1024;

/** What Nest's body parsers leave on a request. */
export type ParsedRequest = IncomingMessage & { readonly body?: unknown; readonly rawBody?: Uint8Array };

/**
 * The bytes as they were sent. Nest parses JSON and forms before any controller; with `rawBody: true` it keeps the bytes beside.
 *
 * @throws ProtocolRefusal 413, 415 for a body that is compressed and that nobody has unpacked, or 500 with what to do when the bytes were not
 *   kept.
 */
export async function bodyOf(request: ParsedRequest, maxBytes: number): Promise<Uint8Array> {
  if (request.rawBody !== undefined) return checked(request.rawBody, maxBytes);
  if (request.readableEnded || request.readableDidRead) {
    if (Number(request.headers['content-length'] ?? '0') === 0 && request.headers['transfer-encoding'] === undefined)
      return new Uint8Array();
    throw new ProtocolRefusal(
      500,
      'BODY_CONSUMED',
      'the body was parsed before it reached the Durable Streams controller: create the application with { rawBody: true }.',
    );
  }
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity')
    throw new ProtocolRefusal(415, 'ENCODING_UNSUPPORTED', `the body is encoded as ${encoding}: send it as it is.`);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    // The rest is read and thrown away, so that the client, who still sends, gets the answer; not without end.
    if (bytes <= maxBytes) parts.push(part);
    else if (bytes > maxBytes + MAX_DRAINED_BYTES) throw tooLarge(maxBytes, { connection: 'close' });
  }
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  return Buffer.concat(parts);
}

function checked(body: Uint8Array, maxBytes: number): Uint8Array {
  if (body.length > maxBytes) throw tooLarge(maxBytes);
  return body;
}

function tooLarge(maxBytes: number, headers: Readonly<Record<string, string>> = {}): ProtocolRefusal {
  const message = `the body has more than ${maxBytes} bytes: send it in parts.`;
  return new ProtocolRefusal(413, 'BODY_TOO_LARGE', message, headers);
}
