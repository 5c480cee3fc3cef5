import { describeError, errorCode, PollLoop, systemClock, systemRandom, type TimeoutRegistry } from '@nest-baton/core';
import { type BeforeApplicationShutdown, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { databaseOf } from '../connecting/shared-database.js';
import type { PgStreamService } from '../pg-stream.service.js';
import { checkStreamName } from '../writing/call-check.js';
import type { ResolvedDurableStreamsOptions } from './durable-streams.options.js';
import { ProtocolRefusal } from './protocol/protocol-refusal.js';
import { readQueryOf } from './protocol/read-query.js';
import type { Answer, ProtocolRequest } from './serving/answer.js';
import { Appending } from './serving/appending.js';
import { Creating } from './serving/creating.js';
import { EventStreamSession } from './serving/event-stream-session.js';
import { Reading } from './serving/reading.js';
import { DurableStorage } from './storing/durable-storage.js';

/** Streams that one sweep removes at most; the next goes on. */
const SWEEP_LIMIT = 500;

/** The Durable Streams protocol over one `PgStreamService`, without HTTP's details. */
export class DurableStreams implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger: Logger;
  private readonly storage: DurableStorage;
  private readonly creating: Creating;
  private readonly appending: Appending;
  private readonly reading: Reading;
  private readonly sweeps: PollLoop;

  constructor(
    instance: string,
    streams: PgStreamService,
    private readonly options: ResolvedDurableStreamsOptions,
    registry?: TimeoutRegistry,
  ) {
    this.logger = new Logger(`DurableStreams:${instance}`);
    this.storage = new DurableStorage(databaseOf(streams), options.contentType);
    this.creating = new Creating(streams, this.storage, options.contentType);
    this.appending = new Appending(streams, this.storage);
    this.reading = new Reading(streams, this.storage, options, systemClock, systemRandom);
    this.sweeps = new PollLoop({
      name: `baton:pg-stream:${instance}:durable-streams-sweep`,
      pass: (signal) => this.storage.sweep(SWEEP_LIMIT, signal),
      intervalMs: options.sweepIntervalMs,
      registry,
      onError: (error) =>
        this.logger.warn('streams whose time is over could not be removed; the next sweep tries again', {
          code: errorCode(error),
          error: describeError(error),
        }),
    });
  }

  /** @throws ProtocolRefusal, or a typed error of the module. */
  async answer(method: string, request: ProtocolRequest): Promise<Answer> {
    checkStreamName(request.stream);
    switch (method) {
      case 'PUT':
        return this.creating.create(request);
      case 'POST':
        return this.appending.append(request);
      case 'GET':
        return this.reading.read(request, readQueryOf(request.query));
      case 'HEAD':
        return this.reading.head(request.stream);
      case 'DELETE':
        await this.storage.remove(await this.storage.get(request.stream));
        return { status: 204, headers: {} };
      default:
        throw new ProtocolRefusal(405, 'METHOD_NOT_ALLOWED', `${method} means nothing to a stream.`, {
          allow: 'GET, HEAD, POST, PUT, DELETE',
        });
    }
  }

  /** `live=sse`. Resolves when the response has ended. @throws before anything is sent, and with the response destroyed after. */
  async follow(response: ServerResponse, request: ProtocolRequest): Promise<void> {
    checkStreamName(request.stream);
    const query = readQueryOf(request.query);
    const { record, position } = await this.reading.begin(request.stream, query.offset);
    await new EventStreamSession(response, this.reading, query, this.options, request.signal).run(record, position);
  }

  onApplicationBootstrap(): void {
    this.sweeps.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.sweeps.stop();
  }
}
