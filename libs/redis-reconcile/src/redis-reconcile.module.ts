import { type DynamicModule, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { HandlerDiscovery } from './handling/handler-discovery.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getRedisReconcileToken,
  INSTANCE_NAME,
  type OPTIONS_TYPE,
} from './redis-reconcile.module-definition.js';
import { RedisReconcileService } from './redis-reconcile.service.js';

/** Work that always has exactly one live owner, over Redis Streams. Register it once for each instance. */
@Module({ imports: [DiscoveryModule], providers: [HandlerDiscovery] })
export class RedisReconcileModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return withService(super.forRoot(options), options.name);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withService(super.forRootAsync(options), options.name);
  }
}

/** Under the instance's token; the default instance, and no other, also as the class. */
function withService(definition: DynamicModule, name = 'default'): DynamicModule {
  const token = getRedisReconcileToken(name);
  const isDefault = name === 'default';
  return {
    ...definition,
    providers: [
      ...(definition.providers ?? []),
      { provide: INSTANCE_NAME, useValue: name },
      ...(isDefault ? [RedisReconcileService] : []),
      isDefault
        ? { provide: token, useExisting: RedisReconcileService }
        : { provide: token, useClass: RedisReconcileService },
    ],
    exports: [...(definition.exports ?? []), token, ...(isDefault ? [RedisReconcileService] : [])],
  };
}
