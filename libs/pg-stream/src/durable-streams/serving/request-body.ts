import type { IncomingMessage } from 'node:http';
import { ProtocolRefusal } from '../protocol/protocol-refusal.js';

/** What Nest's body parsers leave on a request. */
export type ParsedRequest = IncomingMessage & { readonly body?: unknown; readonly rawBody?: Uint8Array };

/**
 * The bytes as they were sent. Nest parses JSON and forms before any controller; with `rawBody: true` it keeps the bytes beside.
 *
 * @throws ProtocolRefusal 413, or 500 with what to do when the bytes were not kept.
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
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    // The rest is read and thrown away, so that the client, who still sends, gets the answer.
    if (bytes <= maxBytes) parts.push(part);
  }
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  return Buffer.concat(parts);
}

function checked(body: Uint8Array, maxBytes: number): Uint8Array {
  if (body.length > maxBytes) throw tooLarge(maxBytes);
  return body;
}

function tooLarge(maxBytes: number): ProtocolRefusal {
  return new ProtocolRefusal(413, 'BODY_TOO_LARGE', `the body has more than ${maxBytes} bytes: send it in parts.`);
}
