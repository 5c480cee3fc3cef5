import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { IngestOptions } from './ingest.options.js';

/** What is known before the options are. */
export interface IngestExtras {
  /** Tells roots apart: see `getIngestToken(name)`. Without `:`. Default `'default'`. */
  readonly name?: string;
  /**
   * Default true: the service of the root's own index can be injected everywhere. `forFeature` finds its root in any case.
   */
  readonly isGlobal?: boolean;
}

/**
 * The token under which a service is provided: of a root's own index by the root's name, of a further index by its name and the root's. A further
 * index of the default root needs no second name.
 */
export function getIngestToken(name = 'default', rootName = 'default'): string {
  const names = [rootName, name].filter((one) => one !== 'default');
  return `baton:ingest:${names.length === 0 ? 'default' : names.join(':')}`;
}

/** The token of a root, inside the module. */
export function getIngestRootToken(name = 'default'): string {
  return `baton:ingest-root:${name}`;
}

/**
 * Injects a service: `InjectIngest('audit')` that of a further index, or of a root with that name; `InjectIngest('audit', 'eu')` that of an
 * index of the root `eu`. The default root's own is also the class `IngestService`.
 */
export function InjectIngest(name = 'default', rootName = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getIngestToken(name, rootName));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<IngestOptions>({ moduleName: 'BatonIngest' })
    .setClassMethodName('forRoot')
    .setExtras<IngestExtras>({ name: 'default', isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
