import { seededRandom } from '@nest-baton/testing';
import type { PgStreamService } from '@nest-baton/pg-stream';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { DurableStreamsApp } from './durable-streams-app.js';
import { comeAndGo } from './restless-clients.js';
import { SseEdge } from './sse-edge.js';
import { StreamsWorld } from './streams-world.js';
import { type WhatIsLeft, whatIsLeft } from './what-is-left.js';

type Face = 'sse' | 'the Durable Streams protocol';

const HISTORY = 'history';

/** Both faces over HTTP, a stream with some history, one that nobody has opened, and an application that appends all the while. */
export class StormedWorld {
  private constructor(
    private readonly world: StreamsWorld,
    private readonly streams: PgStreamService,
    private readonly edge: SseEdge,
    private readonly app: DurableStreamsApp,
  ) {}

  static async create(): Promise<StormedWorld> {
    const world = await StreamsWorld.create();
    const streams = await world.service();
    for (let i = 0; i < 40; i++) await streams.append(HISTORY, `${i}:${'x'.repeat(2_000)}`);
    return new StormedWorld(world, streams, await SseEdge.start(streams), await DurableStreamsApp.create(world.url));
  }

  /** The slowest append meanwhile, and how many clients left in which way. */
  async storm(
    face: Face,
    clients: number,
    perMinute: number,
    seed: number,
  ): Promise<{ readonly appendMs: number; readonly left: Readonly<Record<string, number>> }> {
    const { data } = await this.streams.page(HISTORY);
    let isOver = false;
    let appendMs = 0;
    const appending = (async () => {
      while (!isOver) {
        const begun = performance.now();
        await this.streams.append('appended', 'x');
        appendMs = Math.max(appendMs, performance.now() - begun);
        await sleep(10);
      }
    })();
    const left = await comeAndGo({
      port: face === 'sse' ? this.edge.port : Number(new URL(this.app.url).port),
      random: seededRandom(seed),
      clients,
      perMinute,
      paths: face === 'sse' ? [`/${HISTORY}`, '/appended', '/nobody'] : pathsOfProtocol(),
      cursors: face === 'sse' ? data.map(({ cursor }) => cursor) : [],
    });
    isOver = true;
    await appending;
    return { appendMs, left };
  }

  left(face: Face): Promise<WhatIsLeft> {
    return whatIsLeft(face === 'sse' ? this.streams : this.app.streams, () => this.connections(face));
  }

  connections(face: Face): Promise<number> {
    if (face === 'sse') return this.edge.connections();
    const server = this.app.app.getHttpServer() as Server;
    return new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
  }

  async stop(): Promise<void> {
    this.edge.stop();
    await this.app.stop();
    await this.world.stop();
  }
}

function pathsOfProtocol(): readonly string[] {
  return [HISTORY, 'appended', 'nobody'].flatMap((name) =>
    ['?offset=-1&live=sse', '?offset=now&live=long-poll', '?offset=-1'].map((query) => `/v1/stream/${name}${query}`),
  );
}
