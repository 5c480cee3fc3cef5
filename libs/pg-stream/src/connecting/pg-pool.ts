/** The part of a `pg` pool that is used, by shape, so that no driver is in our types. */
export interface PgPoolLike {
  /** Of node-postgres: what a connection for LISTEN is made with, when no `listenConnectionString` is given. */
  readonly options?: object;
  /** Of node-postgres: how many of its connections are free, how many there are, and how many callers wait for one. */
  readonly idleCount?: number;
  readonly totalCount?: number;
  readonly waitingCount?: number;
  connect(): Promise<PgPoolClientLike>;
}

export interface PgPoolClientLike {
  query(config: {
    readonly name?: string;
    readonly text: string;
    readonly values: unknown[];
    readonly query_timeout?: number;
  }): Promise<{ rows: unknown[]; rowCount?: number | null }>;
  /** Truthy: the connection is closed instead of used again. */
  release(error?: Error | boolean): void;
}

/** A connection of its own, before `connect()`. */
export interface PgClientOfOurs extends Omit<PgPoolClientLike, 'release'> {
  connect(): Promise<unknown>;
  end(): Promise<unknown>;
  on(event: 'error' | 'end', listener: () => void): unknown;
  /** Whether it keeps the process alive; since pg 8.8. */
  ref?(): void;
  unref?(): void;
  /** What its types do not show: the socket. */
  readonly connection?: { readonly stream?: { destroy?(): void } };
}
