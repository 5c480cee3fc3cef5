import type { Cluster, Redis, RedisCommander, RedisOptions } from 'ioredis';

/** One of a cluster's nodes, to find the others from. */
export interface ClusterNodeAddress {
  readonly host: string;
  /** Default 6379. */
  readonly port?: number;
}

/**
 * Where connections come from: a URL, a cluster's nodes (some of them: they know the others), or a client of the user's that is only ever
 * duplicated and never closed.
 */
export type RedisConnectionOptions =
  | { readonly url: string }
  | { readonly cluster: readonly (string | ClusterNodeAddress)[] }
  | { readonly instance: Redis | Cluster };

/** What a link needs of ioredis' client of one node, or of a cluster. */
export interface CommandClient extends RedisCommander {
  readonly status: string;
  connect(): Promise<void>;
  disconnect(): void;
  on(event: 'ready', listener: () => void): unknown;
}

/**
 * Makes the connections of one instance, none of them connected yet.
 *
 * - No command that may have been executed is ever sent again, none outlives its time in a queue of the driver's by much: whoever sends one learns its
 *   fate in bounded time.
 */
export interface ConnectionSource {
  readonly topology: 'single' | 'cluster';
  /** For commands: one for the instance, the same at each call. Reconnects by itself, and finds whoever serves a key. */
  commands(): CommandClient;
  /** The same for what belongs to one key: also commands whose key the driver does not see, such as XINFO and XGROUP, go to whoever serves it. */
  commandsOf(key: string): RedisCommander;
  /**
   * To the node that serves this key now, for blocking reads and subscriptions. Lives once: after a failure its owner asks for a new one. No
   * command timeout: a blocking read takes as long as it was told to.
   *
   * @throws Error when nobody serves the key.
   */
  dedicated(key: string): Promise<Redis>;
  /** Commands to the very server that a dedicated connection leads to. */
  beside(dedicated: Redis): RedisCommander;
  /** Commands failed: whoever serves what may have changed. */
  suspect(): void;
  /** Host and port without credentials, for messages. */
  readonly address: string;
  /** The option that says where the servers are, and its variables. */
  readonly setting: string;
  /** The database that keys live in: part of the names of keyspace channels. */
  readonly database: number;
  /** What the driver keeps to itself: why no node could be used. */
  readonly lastProblem: string | undefined;
  close(): void;
}

/** A dead node must not keep the process for the two seconds that are ioredis' default. */
const DISCONNECT_TIMEOUT_MS = 100;

export function settingsOfAll(commandTimeoutMs: number): RedisOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    enableAutoPipelining: false,
    maxRetriesPerRequest: 0,
    connectTimeout: commandTimeoutMs,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    keepAlive: 30_000,
  };
}

/** Lives once, takes its time. */
export function settingsOfDedicated(commandTimeoutMs: number): RedisOptions {
  return { ...settingsOfAll(commandTimeoutMs), retryStrategy: () => null };
}

/** Milliseconds before the nth attempt to connect again. */
export function reconnectDelay(times: number): number {
  return Math.min(50 * 2 ** Math.min(times - 1, 5), 1000);
}
