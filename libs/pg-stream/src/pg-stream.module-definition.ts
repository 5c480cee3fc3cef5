import { ConfigurableModuleBuilder, Inject, type InjectionToken, type Provider } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { type PgStreamOptions, resolvePgStreamOptions } from './pg-stream.options.js';
import { PgStreamService } from './pg-stream.service.js';

/** The injection token of an instance; of the default one it is the class itself. */
export function getPgStreamToken(name = 'default'): InjectionToken<PgStreamService> {
  return name === 'default' ? PgStreamService : `baton:pg-stream:${name}`;
}

/** Injects the `PgStreamService` of that name. */
export function InjectPgStream(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getPgStreamToken(name));
}

const OPTIONS_TOKEN = Symbol('PgStreamOptions');

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<PgStreamOptions>({ optionsInjectionToken: OPTIONS_TOKEN })
    .setClassMethodName('forRoot')
    .setExtras({ name: 'default', isGlobal: true }, (definition, { name, isGlobal }) => ({
      ...definition,
      global: isGlobal,
      providers: [...(definition.providers ?? []), serviceProvider(name)],
      exports: [getPgStreamToken(name)],
    }))
    .build();

function serviceProvider(name: string): Provider {
  return {
    provide: getPgStreamToken(name),
    useFactory: (options: PgStreamOptions, registry?: SchedulerRegistry) =>
      new PgStreamService(name, resolvePgStreamOptions(options), registry),
    inject: [OPTIONS_TOKEN, { token: SchedulerRegistry, optional: true }],
  };
}
