/** Whose leases are meant. */
export interface ListenedTo {
  readonly service: string;
  /** Their number: leases under another one are not ours. */
  readonly partitions: number;
  readonly database: number;
}

/** The pattern of all channels on which leases of a service expire. Glob characters of the name are escaped. Pure. */
export function expiryPattern({ service, partitions, database }: ListenedTo): string {
  return `__keyspace@${database}__:{${service.replace(/[\\*?[\]^-]/g, '\\$&')}:*/${partitions}}:lease:*`;
}

/**
 * Partition and data stream whose lease a channel is about; `undefined` for a channel of somebody else's, such as a service whose
 * name begins with ours. Pure; a data stream may hold any character.
 */
export function parseExpiryChannel(
  channel: string,
  { service, partitions, database }: ListenedTo,
): { readonly partition: number; readonly dataStream: string } | undefined {
  const prefix = `__keyspace@${database}__:{${service}:`;
  if (!channel.startsWith(prefix)) return undefined;
  const match = /^(\d{1,4})\/(\d{1,4})\}:lease:([^]+)$/.exec(channel.slice(prefix.length));
  if (match === null || Number(match[2]) !== partitions) return undefined;
  return { partition: Number(match[1]), dataStream: match[3] ?? '' };
}
