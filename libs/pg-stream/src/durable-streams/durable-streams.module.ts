import { type DynamicModule, Module } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { getPgStreamToken } from '../pg-stream.module-definition.js';
import type { PgStreamService } from '../pg-stream.service.js';
import { DurableStreams } from './durable-streams.js';
import { controllerAt, DURABLE_STREAMS_SETTINGS, type DurableStreamsSettings } from './durable-streams.controller.js';
import {
  ConfigurableDurableStreams,
  type DURABLE_STREAMS_ASYNC_OPTIONS_TYPE,
  DURABLE_STREAMS_OPTIONS,
  type DURABLE_STREAMS_OPTIONS_TYPE,
  type DurableStreamsExtras,
} from './durable-streams.module-definition.js';
import { type DurableStreamsOptions, resolveDurableStreamsOptions } from './durable-streams.options.js';

export type { DurableStreamsExtras } from './durable-streams.module-definition.js';
export type { AuthorizeStream, DurableStreamsOptions } from './durable-streams.options.js';
export { DurableStreamsController } from './durable-streams.controller.js';

/** Serves the streams of a `PgStreamModule` by the Durable Streams protocol: `DurableStreamsModule.forRoot({ path, token })`. */
@Module({})
export class DurableStreamsModule extends ConfigurableDurableStreams {
  static override forRoot(options: typeof DURABLE_STREAMS_OPTIONS_TYPE): DynamicModule {
    return withController(super.forRoot(options), options);
  }

  static override forRootAsync(options: typeof DURABLE_STREAMS_ASYNC_OPTIONS_TYPE): DynamicModule {
    return withController(super.forRootAsync(options), options);
  }
}

function withController(definition: DynamicModule, extras: DurableStreamsExtras): DynamicModule {
  const { name = 'default', path = 'streams', guards = [] } = extras;
  return {
    ...definition,
    controllers: [controllerAt(path, guards)],
    providers: [
      ...(definition.providers ?? []),
      {
        provide: DURABLE_STREAMS_SETTINGS,
        inject: [DURABLE_STREAMS_OPTIONS],
        useFactory: (options: DurableStreamsOptions): DurableStreamsSettings => ({
          options: resolveDurableStreamsOptions(options),
          hasGuards: guards.length > 0,
        }),
      },
      {
        provide: DurableStreams,
        inject: [DURABLE_STREAMS_SETTINGS, getPgStreamToken(name), { token: SchedulerRegistry, optional: true }],
        useFactory: ({ options }: DurableStreamsSettings, streams: PgStreamService, registry?: SchedulerRegistry) =>
          new DurableStreams(name, streams, options, registry),
      },
    ],
  };
}
