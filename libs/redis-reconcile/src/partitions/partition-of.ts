/** Each costs a process a connection, and a look at each scan. */
export const MAX_PARTITIONS = 1024;

/**
 * The partition of a data stream: FNV-1a, 32 bit, over the name's UTF-8 bytes, modulo the number of partitions. Pure, and part of the raw XADD format: whoever adds
 * entries without this library must compute the same.
 */
export function partitionOf(dataStream: string, partitions: number): number {
  if (partitions === 1) return 0;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(dataStream, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % partitions;
}
