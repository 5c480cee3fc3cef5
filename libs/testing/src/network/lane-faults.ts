/** Which way bytes go: from the client to the server, or back. */
export type Direction = 'toServer' | 'toClient';

/** `reset`: a RST, as a crashed machine's kernel or a firewall sends it; the receiver may lose what it has not read. `end`: a FIN, as a process that closes. */
export type CutKind = 'reset' | 'end';

/** What is wrong with one direction. */
export interface LaneFaults {
  /** `blackHole`: bytes and ends vanish. `stalled`: they wait for better times. */
  readonly path: 'open' | 'blackHole' | 'stalled';
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  /** What may still pass before the connection is cut. */
  readonly bytesLeft: number;
  readonly cutKind: CutKind;
}

export const NO_FAULTS: LaneFaults = Object.freeze({
  path: 'open',
  delayMs: 0,
  bytesPerSecond: Infinity,
  bytesLeft: Infinity,
  cutKind: 'end',
});

export function directions(which: Direction | 'both'): readonly Direction[] {
  return which === 'both' ? ['toServer', 'toClient'] : [which];
}

export function checkedMs(ms: number): number {
  if (Number.isFinite(ms) && ms >= 0) return ms;
  throw new RangeError(`A delay is a number of milliseconds from 0 on, not ${ms}.`);
}

export function checkedRate(bytesPerSecond: number): number {
  if (bytesPerSecond >= 1) return bytesPerSecond;
  throw new RangeError(`A rate is at least 1 byte a second, not ${bytesPerSecond}: stall() lets nothing pass.`);
}

export function checkedCount(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new RangeError(`A number of bytes is a whole number from 0 on, not ${bytes}.`);
}
