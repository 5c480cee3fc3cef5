import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { PgStreamOptions } from './pg-stream.options.js';

/** The token under which the service of an instance is provided. */
export function getPgStreamToken(name = 'default'): string {
  return `baton:pg-stream:${name}`;
}

/** Injects the service of an instance; the default one is also the class `PgStreamService`. */
export function InjectPgStream(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getPgStreamToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<PgStreamOptions>()
    .setClassMethodName('forRoot')
    .setExtras({ name: 'default', isGlobal: true }, (definition, { isGlobal }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
