import type { Clock } from '@nest-baton/core';

/** After a gap in traffic of this length, earlier failures say nothing about what comes. */
const GAP_MS = 10_000;

/** How the server has treated our requests of late. */
export interface ServerView {
  /** For how long batches have been tried without one being taken; 0 when none is being tried. */
  readonly stalledMs: number;
  /** The last attempt was not taken. */
  readonly isFailing: boolean;
  /** A batch is tried, or waits to be tried again. */
  readonly isTrying: boolean;
  /** A batch was given up because requests as such are not wanted, and none was taken since. */
  readonly denied: { readonly status: number; readonly agoMs: number } | undefined;
}

/**
 * What the last attempts say about the server. *Taken* is every answer that judges the documents, also one that refuses them: a server that
 * does is alive, and one producer's bad documents are no fault of the service.
 */
export class ServerWatch {
  private trying = 0;
  private triedSinceMs = -Infinity;
  private lastTriedAtMs = -Infinity;
  private troubleSinceMs: number | undefined;
  private denial: { readonly status: number; readonly atMs: number } | undefined;

  constructor(private readonly clock: Clock) {}

  /** A batch is tried from here until `end`. */
  begin(): void {
    const now = this.clock.monotonic();
    const isFresh = this.troubleSinceMs === undefined || now - this.lastTriedAtMs > GAP_MS;
    if (this.trying === 0 && isFresh) this.triedSinceMs = now;
    this.trying++;
  }

  end(): void {
    this.trying--;
    this.lastTriedAtMs = this.clock.monotonic();
  }

  failed(): void {
    this.troubleSinceMs ??= this.clock.monotonic();
  }

  denied(status: number): void {
    this.failed();
    this.denial = { status, atMs: this.clock.monotonic() };
  }

  /** Returns how long the trouble lasted that ends with this, in milliseconds. */
  taken(): number | undefined {
    const now = this.clock.monotonic();
    const lastedMs = this.troubleSinceMs === undefined ? undefined : now - this.troubleSinceMs;
    this.triedSinceMs = now;
    this.troubleSinceMs = undefined;
    this.denial = undefined;
    return lastedMs;
  }

  view(): ServerView {
    const now = this.clock.monotonic();
    return {
      stalledMs: this.trying === 0 ? 0 : now - this.triedSinceMs,
      isFailing: this.troubleSinceMs !== undefined,
      isTrying: this.trying > 0,
      denied: this.denial && { status: this.denial.status, agoMs: now - this.denial.atMs },
    };
  }
}
