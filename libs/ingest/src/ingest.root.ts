import { type Clock, type Random, systemClock, systemRandom } from '@nest-baton/core';
import type { OnApplicationShutdown } from '@nestjs/common';
import { IngestRoom } from './admitting/shared-buffer.js';
import type { ResolvedIngestOptions } from './ingest.options.js';
import { IngestService } from './ingest.service.js';
import type { IngestHealth } from './operating/ingest-health.js';

/**
 * One server and its indexes: the one of the root itself, and those that have names.
 *
 * - All share one buffer; each has its part of it, and lanes, limits, pauses and a circuit of its own, so that an index that is gone harms no other.
 * - Closes all of them on shutdown, also those that nobody injected.
 */
export class IngestRoot implements OnApplicationShutdown {
  /** The root's own index. */
  readonly service: IngestService;
  private readonly named: ReadonlyMap<string, IngestService>;

  constructor(
    options: ResolvedIngestOptions,
    name = 'default',
    clock: Clock = systemClock,
    random: Random = systemRandom,
  ) {
    const indexes = Object.entries(options.indexes);
    const room = new IngestRoom(options, 1 + indexes.length);
    this.service = new IngestService(options, name, clock, random, room);
    this.named = new Map(
      indexes.map(([index, own]) => {
        const instance = name === 'default' ? index : `${name}:${index}`;
        return [index, new IngestService({ ...options, ...own }, instance, clock, random, room)];
      }),
    );
  }

  get indexNames(): readonly string[] {
    return [...this.named.keys()];
  }

  /** The service of a named index, or `undefined`. */
  index(name: string): IngestService | undefined {
    return this.named.get(name);
  }

  /** The worst of its indexes, whose name the message tells. Never rejects. */
  async health(): Promise<IngestHealth> {
    let worst = await this.service.health();
    for (const [name, service] of this.named) {
      const health = await service.health();
      if (health.state !== 'up' && RANK[health.state] > RANK[worst.state])
        worst = { ...health, message: `${name}: ${health.message}` };
    }
    return worst;
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.service, ...this.named.values()].map((service) => service.close()));
  }
}

const RANK: Readonly<Record<IngestHealth['state'], number>> = { up: 0, degraded: 1, down: 2 };
