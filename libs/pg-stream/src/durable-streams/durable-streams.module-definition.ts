import { type CanActivate, ConfigurableModuleBuilder, type Type } from '@nestjs/common';
import type { DurableStreamsOptions } from './durable-streams.options.js';

/** What is known before the options are. */
export interface DurableStreamsExtras {
  /** Of the PgStreamModule whose streams are served. Default `'default'`. */
  readonly name?: string;
  /** Below which the streams lie: `PUT /<path>/<stream>`. Names may have slashes. Default `streams`. */
  readonly path?: string;
  /** Stand before the controller. Guards from elsewhere (`APP_GUARD`) are not seen here: name one of them. */
  readonly guards?: readonly Type<CanActivate>[];
}

export const {
  ConfigurableModuleClass: ConfigurableDurableStreams,
  MODULE_OPTIONS_TOKEN: DURABLE_STREAMS_OPTIONS,
  OPTIONS_TYPE: DURABLE_STREAMS_OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE: DURABLE_STREAMS_ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<DurableStreamsOptions>({ moduleName: 'BatonDurableStreams' })
  .setClassMethodName('forRoot')
  .setExtras<DurableStreamsExtras>({ name: 'default', path: 'streams', guards: [] }, (definition) => definition)
  .build();
