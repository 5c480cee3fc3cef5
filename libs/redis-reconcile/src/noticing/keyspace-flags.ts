/** True when the server tells keyspace channels of expired keys. Pure. */
export function coversExpiry(flags: string): boolean {
  return flags.includes('K') && (flags.includes('x') || flags.includes('A'));
}

/** The given flags and the ones we need; nobody else's are taken away. Pure. */
export function mergeFlags(flags: string): string {
  const hasExpired = flags.includes('x') || flags.includes('A');
  return `${flags}${flags.includes('K') ? '' : 'K'}${hasExpired ? '' : 'x'}`;
}
