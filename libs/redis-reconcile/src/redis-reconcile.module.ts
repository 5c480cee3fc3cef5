import { type DynamicModule, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { HandlerDiscovery } from './handling/handler-discovery.js';
import {
  ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getRedisReconcileToken,
  OPTIONS_TYPE,
} from './redis-reconcile.module-definition.js';
import { RedisReconcileService } from './redis-reconcile.service.js';

/** Work that always has exactly one live owner, over Redis Streams. Register it once for each instance. */
@Module({ imports: [DiscoveryModule], providers: [HandlerDiscovery, RedisReconcileService] })
export class RedisReconcileModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return withService(super.forRoot(options), options.name);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withService(super.forRootAsync(options), options.name);
  }
}

/** Under the instance's token; the default instance also as the class. */
function withService(module: DynamicModule, name = 'default'): DynamicModule {
  const token = getRedisReconcileToken(name);
  return {
    ...module,
    providers: [...(module.providers ?? []), { provide: token, useExisting: RedisReconcileService }],
    exports: [...(module.exports ?? []), token, ...(name === 'default' ? [RedisReconcileService] : [])],
  };
}
