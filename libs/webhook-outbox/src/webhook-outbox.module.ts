import { type DynamicModule, Module } from '@nestjs/common';
import { WebhookEndpointsService } from './endpoints/webhook-endpoints.service.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getWebhookEndpointsToken,
  getWebhookOutboxToken,
  type OPTIONS_TYPE,
  type WebhookOutboxExtras,
} from './webhook-outbox.module-definition.js';
import { resolveWebhookOutboxOptions } from './webhook-outbox.options.js';
import { ownProviders } from './configuring/instance-providers.js';
import { WebhookOutboxService } from './webhook-outbox.service.js';

/** Webhooks that are stored in the caller's transaction and sent by a relay. */
@Module({})
export class WebhookOutboxModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    const { name: _name, isGlobal: _isGlobal, dataSource: _dataSource, queue: _queue, ...own } = options;
    // Resolved here too, so that a mistake is reported where it was made and before anything connects.
    resolveWebhookOutboxOptions(own);
    return withServices(super.forRoot(options), options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withServices(super.forRootAsync(options), options);
  }
}

/** Under the instance's tokens; the default instance, and no other, also as the classes. */
function withServices(definition: DynamicModule, extras: WebhookOutboxExtras): DynamicModule {
  const { name = 'default' } = extras;
  const service = getWebhookOutboxToken(name);
  const endpoints = getWebhookEndpointsToken(name);
  const isDefault = name === 'default';
  return {
    ...definition,
    providers: [
      ...(definition.providers ?? []),
      ...ownProviders(extras),
      ...(isDefault ? [WebhookOutboxService, WebhookEndpointsService] : []),
      isDefault
        ? { provide: service, useExisting: WebhookOutboxService }
        : { provide: service, useClass: WebhookOutboxService },
      isDefault
        ? { provide: endpoints, useExisting: WebhookEndpointsService }
        : { provide: endpoints, useClass: WebhookEndpointsService },
    ],
    exports: [
      ...(definition.exports ?? []),
      service,
      endpoints,
      ...(isDefault ? [WebhookOutboxService, WebhookEndpointsService] : []),
    ],
  };
}
