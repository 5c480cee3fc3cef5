import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { RedisReconcileOptions } from './redis-reconcile.options.js';

/** The instance's name, inside its module. */
export const INSTANCE_NAME = Symbol('baton:redis-reconcile:name');

/** The token under which the service of an instance is provided. */
export function getRedisReconcileToken(name = 'default'): string {
  return `baton:redis-reconcile:${name}`;
}

/** Injects the service of an instance. */
export function InjectRedisReconcile(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getRedisReconcileToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisReconcileOptions>()
    .setClassMethodName('forRoot')
    .setExtras({ name: 'default', isGlobal: true }, (definition, { name, isGlobal }) => ({
      ...definition,
      global: isGlobal,
      providers: [...(definition.providers ?? []), { provide: INSTANCE_NAME, useValue: name }],
    }))
    .build();
