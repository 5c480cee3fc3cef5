import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { WebhookDeliveriesService } from './deliveries/webhook-deliveries.service.js';
import { WebhookEndpointsService } from './endpoints/webhook-endpoints.service.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getWebhookDeliveriesToken,
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

/** Each service under the instance's token; of the default instance, and of no other, also as the class. */
function withServices(definition: DynamicModule, extras: WebhookOutboxExtras): DynamicModule {
  const { name = 'default' } = extras;
  const isDefault = name === 'default';
  const services = [
    { token: getWebhookOutboxToken(name), service: WebhookOutboxService },
    { token: getWebhookEndpointsToken(name), service: WebhookEndpointsService },
    { token: getWebhookDeliveriesToken(name), service: WebhookDeliveriesService },
  ];
  const classes = isDefault ? services.map(({ service }) => service) : [];
  return {
    ...definition,
    providers: [
      ...(definition.providers ?? []),
      ...ownProviders(extras),
      ...classes,
      ...services.map(({ token, service }): Provider =>
        isDefault ? { provide: token, useExisting: service } : { provide: token, useClass: service },
      ),
    ],
    exports: [...(definition.exports ?? []), ...services.map(({ token }) => token), ...classes],
  };
}
