import { hash } from 'node:crypto';

/** Postgres keeps 63 bytes of a channel's name and hears nothing on a longer one. */
const MAX_CHANNEL_BYTES = 63;
const CHANNEL_PREFIX = 'baton_pg_stream:';

/** What a notification says instead of a stream's name: short, so that hundreds fit into one, and not the name. A collision only wakes somebody in vain. */
export function topicOf(stream: string): string {
  return hash('sha256', stream, 'base64url').slice(0, 16);
}

/** One channel for each schema, so that two services in one database do not wake each other. Pure. */
export function channelOf(schema: string): string {
  const channel = CHANNEL_PREFIX + schema;
  if (Buffer.byteLength(channel) <= MAX_CHANNEL_BYTES) return channel;
  return CHANNEL_PREFIX + hash('sha256', schema, 'base64url').slice(0, 32);
}
