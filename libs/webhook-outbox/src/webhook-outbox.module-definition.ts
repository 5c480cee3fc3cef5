import { ConfigurableModuleBuilder, Inject, type InjectionToken } from '@nestjs/common';
import type { WebhookOutboxOptions } from './webhook-outbox.options.js';

/** What is known before the options are. */
export interface WebhookOutboxExtras {
  /** Tells instances apart: see `getWebhookOutboxToken(name)`. Default `'default'`. */
  readonly name?: string;
  /** Default true: the services can be injected everywhere. */
  readonly isGlobal?: boolean;
  /** Name of the `DataSource` as given to `TypeOrmModule`, or the token under which one is provided. Default `'default'`. */
  readonly dataSource?: InjectionToken;
  /** With `dispatch: 'queue'`: the class or token of your `WebhookQueue`, a provider of any module, found when the application starts. */
  readonly queue?: InjectionToken;
}

/** The options, resolved. One of each instance of the module. */
export const OUTBOX_OPTIONS = Symbol('baton:webhook-outbox:options');

/** Finds the `queue` of the extras; throws when it is no provider. */
export const OUTBOX_QUEUE = Symbol('baton:webhook-outbox:queue');

/** The instance's name. */
export const OUTBOX_NAME = Symbol('baton:webhook-outbox:name');

/** The token under which the service of an instance is provided. */
export function getWebhookOutboxToken(name = 'default'): string {
  return `baton:webhook-outbox:${name}`;
}

/** Injects the service of an instance; the default one is also the class `WebhookOutboxService`. */
export function InjectWebhookOutbox(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getWebhookOutboxToken(name));
}

/** The token under which the endpoints of an instance are provided. */
export function getWebhookEndpointsToken(name = 'default'): string {
  return `baton:webhook-outbox:${name}:endpoints`;
}

/** Injects the endpoints of an instance; the default ones are also the class `WebhookEndpointsService`. */
export function InjectWebhookEndpoints(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getWebhookEndpointsToken(name));
}

/** The token under which the deliveries of an instance are provided. */
export function getWebhookDeliveriesToken(name = 'default'): string {
  return `baton:webhook-outbox:${name}:deliveries`;
}

/** Injects the deliveries of an instance; the default ones are also the class `WebhookDeliveriesService`. */
export function InjectWebhookDeliveries(name = 'default'): ParameterDecorator & PropertyDecorator {
  return Inject(getWebhookDeliveriesToken(name));
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<WebhookOutboxOptions>({ moduleName: 'BatonWebhookOutbox' })
    .setClassMethodName('forRoot')
    .setExtras<WebhookOutboxExtras>(
      { name: 'default', isGlobal: true, dataSource: 'default', queue: undefined },
      (definition, { isGlobal = true }) => ({
        ...definition,
        global: isGlobal,
      }),
    )
    .build();
