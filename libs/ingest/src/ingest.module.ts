import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { featureOf } from './configuring/feature-index.js';
import { checkRootName } from './configuring/index-options.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getIngestRootToken,
  getIngestToken,
  MODULE_OPTIONS_TOKEN,
  type OPTIONS_TYPE,
} from './ingest.module-definition.js';
import { type IngestOptions, resolveIngestOptions } from './ingest.options.js';
import { IngestRoot } from './ingest.root.js';
import { IngestService } from './ingest.service.js';

/** Documents to the indexes of a search engine, with a verdict for each. */
@Module({})
export class IngestModule extends ConfigurableModuleClass {
  /** One server and its indexes. Once for each server, in the application's module. */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return withRoot(super.forRoot(options), options.name);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withRoot(super.forRootAsync(options), options.name);
  }

  /** Lets the importing module inject further indexes of a root, by the names that its option `indexes` has. */
  static forFeature(features: readonly string[], rootName = 'default'): DynamicModule {
    const providers = [...new Set(features)].map((name) => featureProvider(name, rootName));
    return { module: IngestModule, providers, exports: providers };
  }
}

/** Holds a root where every `forFeature` finds it, also when its service is not global. */
@Module({})
class IngestRootModule {}

/** The root's own service under its token; of the default root, and no other, also as the class. */
function withRoot(definition: DynamicModule, name = 'default'): DynamicModule {
  const root: Provider = {
    provide: getIngestRootToken(name),
    inject: [MODULE_OPTIONS_TOKEN],
    useFactory: (options: IngestOptions) => {
      checkRootName(name);
      return new IngestRoot(resolveIngestOptions(options), name);
    },
  };
  const service: Provider = {
    provide: getIngestToken(name),
    inject: [root.provide],
    useFactory: ({ service: own }: IngestRoot) => own,
  };
  const byClass: Provider[] = name === 'default' ? [{ provide: IngestService, useExisting: service.provide }] : [];
  const { module, global, imports = [], providers = [] } = definition;
  return {
    module,
    global,
    imports: [{ module: IngestRootModule, global: true, imports, providers: [...providers, root], exports: [root] }],
    providers: [service, ...byClass],
    exports: [service, ...byClass],
  };
}

function featureProvider(name: string, rootName: string): Provider {
  const optional = [{ token: getIngestRootToken(rootName), optional: true }];
  // Of the default root alone an index has the same token as a root of that name.
  if (rootName === 'default') optional.push({ token: getIngestRootToken(name), optional: true });
  return {
    provide: getIngestToken(name, rootName),
    inject: optional,
    useFactory: (root?: IngestRoot, namesake?: IngestRoot) => featureOf({ name, rootName }, root, namesake),
  };
}
