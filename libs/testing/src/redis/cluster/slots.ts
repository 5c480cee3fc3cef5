/** A slot by its number (0 to 16383), or by a key that lies in it. */
export type SlotOrKey = number | string;

/** `first` to `last`, both included. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

export const SLOT_COUNT = 16_384;

/** The slot of a key as the servers compute it: CRC16 of its hash tag, or of all of it where it has none. */
export function slotOf(slotOrKey: SlotOrKey): number {
  if (typeof slotOrKey === 'number') {
    if (Number.isInteger(slotOrKey) && slotOrKey >= 0 && slotOrKey < SLOT_COUNT) return slotOrKey;
    throw new RangeError(`A slot is a whole number from 0 to ${SLOT_COUNT - 1}, not ${slotOrKey}.`);
  }
  return crc16(Buffer.from(hashTag(slotOrKey))) % SLOT_COUNT;
}

export function slotList(slots: readonly number[] | SlotRange): readonly number[] {
  if (!('first' in slots)) return [...new Set(slots.map(slotOf))];
  const [first, last] = [slotOf(slots.first), slotOf(slots.last)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

/** What lies between the first `{` and the next `}`, unless that is nothing. */
function hashTag(key: string): string {
  const open = key.indexOf('{');
  const close = open === -1 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

/** CRC-16/XMODEM. */
function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc;
}
