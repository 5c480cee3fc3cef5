import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { PgStreamOptions } from './pg-stream.options.js';

/** What is known before the options are. */
export interface PgStreamExtras {
  /** Tells instances apart: see `getPgStreamToken(name)`. Default `'default'`. */
  readonly name?: string;
  /** Default true: the service can be injected everywhere. */
  readonly isGlobal?: boolean;
}

/** The token under which the service of an instance is provided. */
export function getPgStreamToken(name = 'default'): string {
  return `baton:pg-stream:${name}`;
}

/** Injects the service of an instance; the default one is also the class `PgStreamService`. */
export function InjectPgStream(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getPgStreamToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<PgStreamOptions>({ moduleName: 'BatonPgStream' })
    .setClassMethodName('forRoot')
    .setExtras<PgStreamExtras>({ name: 'default', isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
