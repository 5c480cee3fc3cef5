import { type Clock, PollLoop, type Runnable, type TimeoutRegistry } from '@nest-baton/core';
import type { EndpointRow, EndpointStore } from '../endpoints/endpoint-store.js';
import { matchesType } from './type-patterns.js';

export interface SnapshotHooks {
  readonly onFailed: (error: unknown) => void;
  /** There are more active endpoints than it holds, so that nothing can be sent by it. */
  readonly onTooMany: (most: number) => void;
}

export interface SnapshotFacts {
  readonly endpoints: number;
  /** `null`: there is none. */
  readonly ageMs: number | null;
}

/** An endpoint with its sealed secrets is about a kilobyte. */
export const MOST_ENDPOINTS = 10_000;

const REFRESH_MS = 30_000;

/** An endpoint that was disabled, or whose secret was revoked, meanwhile is not known here. */
const OLDEST_MS = 10 * 60_000;

/**
 * The active endpoints as they were a moment ago, for the time when the database cannot be asked. Their secrets stay sealed.
 *
 * - Read anew each 30 s; one that is older than ten minutes is no use any more.
 * - All or nothing: with more endpoints than it may hold it holds none.
 */
export class EndpointSnapshot implements Runnable {
  private readonly loop: PollLoop;
  private byTenant = new Map<string, EndpointRow[]>();
  private endpoints = 0;
  private takenAt: number | undefined;

  constructor(
    name: string,
    private readonly store: EndpointStore,
    private readonly hooks: SnapshotHooks,
    registry: TimeoutRegistry | undefined,
    private readonly clock: Clock,
  ) {
    this.loop = new PollLoop({
      name: `baton:webhook-outbox:${name}:endpoint-snapshot`,
      pass: () => this.take(),
      intervalMs: REFRESH_MS,
      registry,
      onError: hooks.onFailed,
    });
  }

  start(): void {
    this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  async runOnce(): Promise<void> {
    await this.loop.runOnce();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  facts(): SnapshotFacts {
    return {
      endpoints: this.endpoints,
      ageMs: this.takenAt === undefined ? null : Math.round(this.clock.monotonic() - this.takenAt),
    };
  }

  /** When it was taken, by the monotonic clock; undefined: there is none, or it is too old. */
  get usableFrom(): number | undefined {
    const { takenAt } = this;
    return takenAt === undefined || this.clock.monotonic() - takenAt > OLDEST_MS ? undefined : takenAt;
  }

  /** Who wanted the event when the snapshot was taken. */
  subscribers(tenant: string, type: string): readonly EndpointRow[] {
    return (this.byTenant.get(tenant) ?? []).filter(({ types }) => matchesType(types, type));
  }

  private async take(): Promise<void> {
    const takenAt = this.clock.monotonic();
    const byTenant = new Map<string, EndpointRow[]>();
    let endpoints = 0;
    for await (const row of this.store.all()) {
      if (++endpoints > MOST_ENDPOINTS) {
        [this.byTenant, this.endpoints, this.takenAt] = [new Map<string, EndpointRow[]>(), 0, undefined];
        return this.hooks.onTooMany(MOST_ENDPOINTS);
      }
      const rows = byTenant.get(row.tenant);
      if (rows === undefined) byTenant.set(row.tenant, [row]);
      else rows.push(row);
    }
    [this.byTenant, this.endpoints, this.takenAt] = [byTenant, endpoints, takenAt];
  }
}
