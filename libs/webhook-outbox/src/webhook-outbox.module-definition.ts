import { ConfigurableModuleBuilder, Inject, type InjectionToken } from '@nestjs/common';
import type { WebhookOutboxOptions } from './webhook-outbox.options.js';

export interface WebhookOutboxExtras {
  /** Tells instances apart: see `getWebhookOutboxToken(name)`. Default `'default'`. */
  readonly name?: string;
  /** Default true. */
  readonly isGlobal?: boolean;
  /** Name of the `DataSource` as given to `TypeOrmModule`, or the token under which one is provided. Default `'default'`. */
  readonly dataSource?: InjectionToken;
}

/** The options, resolved. One of each instance of the module. */
export const OUTBOX_OPTIONS = Symbol('baton:webhook-outbox:options');

/** The instance's name. */
export const OUTBOX_NAME = Symbol('baton:webhook-outbox:name');

/** Decorates `@Inject(getWebhookOutboxToken(name))`; the default instance is also the class `WebhookOutboxService`. */
export const InjectWebhookOutbox = (name = 'default'): ParameterDecorator & PropertyDecorator =>
  Inject(getWebhookOutboxToken(name));

export function getWebhookOutboxToken(name = 'default'): string {
  return `baton:webhook-outbox:${name}`;
}

/** As `InjectWebhookOutbox`, for the endpoints of an instance; the default one is also the class `WebhookEndpointsService`. */
export const InjectWebhookEndpoints = (name = 'default'): ParameterDecorator & PropertyDecorator =>
  Inject(getWebhookEndpointsToken(name));

export function getWebhookEndpointsToken(name = 'default'): string {
  return `baton:webhook-outbox:${name}:endpoints`;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<WebhookOutboxOptions>({ moduleName: 'WebhookOutbox' })
    .setClassMethodName('forRoot')
    .setExtras<WebhookOutboxExtras>(
      { name: 'default', isGlobal: true, dataSource: 'default' },
      (definition, extras) => ({
        ...definition,
        global: extras.isGlobal ?? true,
      }),
    )
    .build();
