import { ConfigurableModuleBuilder, Inject } from '@nestjs/common';
import type { RedisReconcileOptions } from './redis-reconcile.options.js';

/** What is known before the options are. */
export interface RedisReconcileExtras {
  /** Tells instances apart: see `getRedisReconcileToken(name)`. Default `'default'`. */
  readonly name?: string;
  /** Default true: the service can be injected everywhere. */
  readonly isGlobal?: boolean;
}

/** The instance's name, inside its module. */
export const INSTANCE_NAME = Symbol('baton:redis-reconcile:name');

/** The token under which the service of an instance is provided. */
export function getRedisReconcileToken(name = 'default'): string {
  return `baton:redis-reconcile:${name}`;
}

/** Injects the service of an instance; the default one is also the class `RedisReconcileService`. */
export function InjectRedisReconcile(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getRedisReconcileToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisReconcileOptions>({ moduleName: 'BatonRedisReconcile' })
    .setClassMethodName('forRoot')
    .setExtras<RedisReconcileExtras>({ name: 'default', isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
