import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getPgStreamToken,
  MODULE_OPTIONS_TOKEN,
  type OPTIONS_TYPE,
} from './pg-stream.module-definition.js';
import { type PgStreamOptions, resolvePgStreamOptions } from './pg-stream.options.js';
import { PgStreamService } from './pg-stream.service.js';

/**
 * Streams of chunks in Postgres: `PgStreamModule.forRoot({ connectionString })`, then inject `PgStreamService`. For a second instance give it
 * a `name` and inject it with `@InjectPgStream(name)`.
 */
@Module({})
export class PgStreamModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return withService(super.forRoot(options), options.name);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withService(super.forRootAsync(options), options.name);
  }
}

/** Under the instance's token; the default instance, and no other, also as the class. */
function withService(definition: DynamicModule, name = 'default'): DynamicModule {
  const service: Provider = {
    provide: getPgStreamToken(name),
    inject: [MODULE_OPTIONS_TOKEN, { token: SchedulerRegistry, optional: true }],
    useFactory: (options: PgStreamOptions, registry?: SchedulerRegistry) =>
      new PgStreamService(name, resolvePgStreamOptions(options), registry),
  };
  const byClass: Provider[] =
    name === 'default' ? [{ provide: PgStreamService, useExisting: getPgStreamToken(name) }] : [];
  return {
    ...definition,
    providers: [...(definition.providers ?? []), service, ...byClass],
    exports: [...(definition.exports ?? []), getPgStreamToken(name), ...(name === 'default' ? [PgStreamService] : [])],
  };
}
