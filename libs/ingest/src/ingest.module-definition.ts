import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { IngestOptions } from './ingest.options.js';

/** What is known before the options are. */
export interface IngestExtras {
  /** Tells several roots apart; default `'default'`. */
  readonly name?: string;
  /** Default true: the service can be injected everywhere. */
  readonly isGlobal?: boolean;
}

export const DEFAULT_NAME = 'default';

/** The injection token of the service of this name. */
export function getIngestToken(name = DEFAULT_NAME): string {
  return `baton:ingest:${name}`;
}

/** Injects the service of this name. The one named `default` can be injected by its class as well. */
export function InjectIngest(name = DEFAULT_NAME): PropertyDecorator & ParameterDecorator {
  return Inject(getIngestToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<IngestOptions>({ moduleName: 'BatonIngest' })
    .setClassMethodName('forRoot')
    .setExtras<IngestExtras>({ name: DEFAULT_NAME, isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
