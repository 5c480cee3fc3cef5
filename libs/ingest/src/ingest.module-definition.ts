import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { IngestOptions } from './ingest.options.js';

/** What is known before the options are. */
export interface IngestExtras {
  /** Tells instances apart: see `getIngestToken(name)`. Default `'default'`. */
  readonly name?: string;
  /** Default true: the service can be injected everywhere. */
  readonly isGlobal?: boolean;
}

/** The token under which the service of an instance is provided. */
export function getIngestToken(name = 'default'): string {
  return `baton:ingest:${name}`;
}

/** Injects the service of an instance; the default one is also the class `IngestService`. */
export function InjectIngest(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getIngestToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<IngestOptions>({ moduleName: 'BatonIngest' })
    .setClassMethodName('forRoot')
    .setExtras<IngestExtras>({ name: 'default', isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
