import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getIngestToken,
  MODULE_OPTIONS_TOKEN,
  type OPTIONS_TYPE,
} from './ingest.module-definition.js';
import { type IngestOptions, resolveIngestOptions } from './ingest.options.js';
import { IngestService } from './ingest.service.js';

/** Documents to one index of a search engine, with a verdict for each. */
@Module({})
export class IngestModule extends ConfigurableModuleClass {
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
    provide: getIngestToken(name),
    inject: [MODULE_OPTIONS_TOKEN],
    useFactory: (options: IngestOptions) => new IngestService(resolveIngestOptions(options), name),
  };
  const byClass: Provider[] = name === 'default' ? [{ provide: IngestService, useExisting: service.provide }] : [];
  return {
    ...definition,
    providers: [...(definition.providers ?? []), service, ...byClass],
    exports: [...(definition.exports ?? []), service.provide, ...(name === 'default' ? [IngestService] : [])],
  };
}
