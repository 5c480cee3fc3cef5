import { gzipSync } from 'node:zlib';
import { type Answer, httpHead, type Wire } from './answer.js';

/**
 * What goes wrong with an answer on its way to the client. Where there is no end to it, or a lot of it, it is sent only as fast as the client
 * reads.
 */
export type WireFault =
  /** Sends the head (status line and headers) or the body in pieces of `bytesEach` (default 1), one every `everyMs`. */
  | { readonly kind: 'drip'; readonly part: 'headers' | 'body'; readonly everyMs: number; readonly bytesEach?: number }
  /** Sends the head and half of the body, and hangs up: with a FIN (default) or a reset. */
  | { readonly kind: 'truncate'; readonly ends?: 'fin' | 'reset' }
  /** The head, then a chunked body without end. */
  | { readonly kind: 'endless-body' }
  /** Header lines until there are that many (default: without end), then the rest. */
  | { readonly kind: 'huge-headers'; readonly lines?: number; readonly bytesEach?: number }
  /** Announces so many bytes more (or, negative, fewer) than the body has; ends with a FIN. */
  | { readonly kind: 'wrong-length'; readonly by: number }
  /** A body of gzip that is zeros when decompressed, this many (default 1 GiB); on the wire it is a thousandth of that. */
  | { readonly kind: 'bomb'; readonly decompressedBytes?: number }
  /** So many `103 Early Hints` (default: without end) before the answer. */
  | { readonly kind: 'informational-flood'; readonly count?: number }
  /** These bytes instead of HTTP; then closes, unless `keepOpen`. */
  | { readonly kind: 'raw'; readonly bytes: string | Buffer; readonly keepOpen?: boolean }
  /** An answer of HTTP/1.0: no length, no keep-alive, its end is the end of the connection. */
  | { readonly kind: 'http-1.0' }
  /** The ordinary answer, after which the connection is closed: said in its headers, or (as by a server that dies of age) not. */
  | { readonly kind: 'close'; readonly announced: boolean };

const FILLER = Buffer.alloc(64 * 1024, '.');
const BOMB_MEMBER_BYTES = 8 * 1024 * 1024;
const DEFAULT_BOMB_BYTES = 1024 * 1024 * 1024;
const FLOOD_AT_ONCE = 200;

let bombMember: Buffer | undefined;

export function isWireFault(value: { readonly kind: string }): value is WireFault {
  return value.kind in SENDERS;
}

/** Sends an answer with something wrong about it. Resolves when all is written, or rejects when the client goes first. */
export async function sendFaulty(wire: Wire, answer: Answer, fault: WireFault): Promise<void> {
  const send = SENDERS[fault.kind] as (wire: Wire, answer: Answer, fault: WireFault) => Promise<void>;
  await send(wire, answer, fault);
}

type Sender<Kind extends WireFault['kind']> = (
  wire: Wire,
  answer: Answer,
  fault: Extract<WireFault, { readonly kind: Kind }>,
) => Promise<void>;

const SENDERS: { readonly [Kind in WireFault['kind']]: Sender<Kind> } = {
  async drip(wire, answer, { part, everyMs, bytesEach = 1 }) {
    const head = Buffer.from(httpHead({ ...answer, headers: { ...answer.headers, connection: 'close' } }));
    const slowly = part === 'headers' ? head : answer.body;
    if (part === 'body') await wire.write(head);
    for (let at = 0; at < slowly.length; at += bytesEach) {
      await wire.write(slowly.subarray(at, at + bytesEach));
      await wire.exchange.pause(everyMs);
    }
    if (part === 'headers') await wire.write(answer.body);
    wire.end();
  },

  async truncate(wire, answer, { ends = 'fin' }) {
    await wire.write(httpHead(answer));
    await wire.write(answer.body.subarray(0, Math.floor(answer.body.length / 2)));
    if (ends === 'fin') return wire.end();
    await wire.flushed();
    wire.exchange.reset();
  },

  async 'endless-body'(wire, answer) {
    await wire.write(httpHead(withoutLength(answer, { 'transfer-encoding': 'chunked' })));
    const chunk = Buffer.concat([Buffer.from(`${FILLER.length.toString(16)}\r\n`), FILLER, Buffer.from('\r\n')]);
    for (;;) await wire.write(chunk);
  },

  async 'huge-headers'(wire, answer, { lines = Infinity, bytesEach = 64 }) {
    const head = httpHead({ ...answer, headers: { ...answer.headers, connection: 'close' } });
    await wire.write(head.slice(0, -2));
    for (let line = 0; line < lines; line += 100) {
      const some = Math.min(100, lines - line);
      await wire.write(
        Array.from({ length: some }, (_, i) => `x-filler-${line + i}: ${'.'.repeat(bytesEach)}\r\n`).join(''),
      );
    }
    await wire.write('\r\n');
    await wire.write(answer.body);
    wire.end();
  },

  async 'wrong-length'(wire, answer, { by }) {
    const announced = Math.max(0, answer.body.length + by);
    await wire.write(httpHead({ ...withoutLength(answer, { 'content-length': `${announced}` }) }));
    await wire.write(answer.body);
    wire.end();
  },

  async bomb(wire, answer, { decompressedBytes = DEFAULT_BOMB_BYTES }) {
    await wire.write(
      httpHead(withoutLength(answer, { 'content-encoding': 'gzip', connection: 'close' }), { isUnbounded: true }),
    );
    bombMember ??= gzipSync(Buffer.alloc(BOMB_MEMBER_BYTES), { level: 9 });
    const members = Math.ceil(decompressedBytes / BOMB_MEMBER_BYTES);
    for (let member = 0; member < members; member++) await wire.write(bombMember);
    wire.end();
  },

  async 'informational-flood'(wire, answer, { count = Infinity }) {
    const one = 'HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n';
    for (let sent = 0; sent < count; sent += FLOOD_AT_ONCE)
      await wire.write(one.repeat(Math.min(FLOOD_AT_ONCE, count - sent)));
    await wire.write(httpHead({ ...answer, headers: { ...answer.headers, connection: 'close' } }));
    await wire.write(answer.body);
    wire.end();
  },

  async raw(wire, _answer, { bytes, keepOpen = false }) {
    await wire.write(bytes);
    if (!keepOpen) wire.end();
  },

  async 'http-1.0'(wire, answer) {
    await wire.write(httpHead(withoutLength(answer, {}), { version: '1.0', isUnbounded: true }));
    await wire.write(answer.body);
    wire.end();
  },

  async close(wire, answer, { announced }) {
    const { exchange } = wire;
    await wire.whole(announced ? { ...answer, headers: { ...answer.headers, connection: 'close' } } : answer);
    exchange.hangUp();
  },
};

/** With other framing than that of its body. */
function withoutLength(answer: Answer, added: Answer['headers']): Answer {
  const replaced = new Set(['content-length', 'transfer-encoding', ...Object.keys(added)]);
  const kept = Object.entries(answer.headers).filter(([name]) => !replaced.has(name.toLowerCase()));
  return { ...answer, headers: { ...Object.fromEntries(kept), ...added } };
}
