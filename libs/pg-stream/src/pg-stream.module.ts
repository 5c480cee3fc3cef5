import { type DynamicModule, Module } from '@nestjs/common';
import { type ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, type OPTIONS_TYPE } from './pg-stream.module-definition.js';

/**
 * Streams of chunks in Postgres: `PgStreamModule.forRoot({ connectionString })`, then inject `PgStreamService`. For a second instance give it
 * a `name` and inject it with `@InjectPgStream(name)`.
 */
@Module({})
export class PgStreamModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}
