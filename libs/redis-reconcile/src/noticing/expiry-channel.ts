/** The pattern of all channels on which leases of a service expire. Glob characters of the name are escaped. Pure. */
export function expiryPattern(service: string, database: number): string {
  return `__keyspace@${database}__:{${service.replace(/[\\*?[\]^-]/g, '\\$&')}:*}:lease:*`;
}

/**
 * Partition and data stream whose lease a channel is about; `undefined` for a channel of somebody else's, such as a service whose
 * name begins with ours. Pure; a data stream may hold any character.
 */
export function parseExpiryChannel(
  channel: string,
  service: string,
  database: number,
): { readonly partition: number; readonly dataStream: string } | undefined {
  const prefix = `__keyspace@${database}__:{${service}:`;
  if (!channel.startsWith(prefix)) return undefined;
  const match = /^(\d{1,4})\}:lease:([^]+)$/.exec(channel.slice(prefix.length));
  return match === null ? undefined : { partition: Number(match[1]), dataStream: match[2] ?? '' };
}
