/**
 * A position as the protocol's clients see it: `<origin>_<position>`, each of 16 digits, so that offsets of one stream sort as text.
 *
 * The origin is the id of the stream's row, and for a fork that of its source: the offsets of a fork go on those of its source. It tells a
 * stream from an earlier one of the same name, whose offsets would otherwise mean other data.
 */
export interface StreamOffset {
  readonly originId: number;
  readonly position: number;
}

/** Where a reader begins: the earliest chunk that is kept, the tail, or where an offset says. */
export type StartOffset = 'start' | 'tail' | StreamOffset;

const DIGITS = 16;

/** Pure. */
export function encodeOffset({ originId, position }: StreamOffset): string {
  return `${digits(originId)}_${digits(position)}`;
}

/** `undefined` for what no stream can have given. Zero in both parts is the beginning of any stream. Pure. */
export function decodeOffset(text: string): StartOffset | undefined {
  if (text === '-1') return 'start';
  if (text === 'now') return 'tail';
  const match = /^(\d{16})_(\d{16})$/.exec(text);
  if (match === null) return undefined;
  const [originId, position] = [Number(match[1]), Number(match[2])];
  if (!Number.isSafeInteger(originId) || !Number.isSafeInteger(position)) return undefined;
  return originId === 0 && position === 0 ? 'start' : { originId, position };
}

function digits(value: number): string {
  return String(value).padStart(DIGITS, '0');
}
