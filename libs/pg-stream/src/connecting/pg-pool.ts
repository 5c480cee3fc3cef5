/** The part of a `pg` pool that is used, by shape, so that no driver is in our types. */
export interface PgPoolLike {
  /** Of node-postgres: what a connection for LISTEN is made with, when no `listenConnectionString` is given. */
  readonly options?: object;
  connect(): Promise<PgPoolClientLike>;
}

export interface PgPoolClientLike {
  query(config: {
    readonly text: string;
    readonly values: unknown[];
    readonly query_timeout?: number;
  }): Promise<{ rows: unknown[]; rowCount?: number | null }>;
  /** Truthy: the connection is closed instead of used again. */
  release(error?: Error | boolean): void;
}
