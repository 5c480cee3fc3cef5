/** What `PgStreamService.on` tells of, in this process. */
export interface PgStreamEvents {
  /** LISTEN is active: at the start, and after each loss. */
  readonly listening: { readonly reconnects: number };
  /** The LISTEN connection is gone or could not be made; polling goes on, and another attempt follows by itself. */
  readonly listenerLost: { readonly error: unknown };
  /** A look at all waiting streams failed; the next one follows by itself. */
  readonly pollFailed: { readonly error: unknown };
  /** A sweep, which ends silent streams and removes what is kept no longer, failed; the next one follows by itself. */
  readonly sweepFailed: { readonly error: unknown };
}
