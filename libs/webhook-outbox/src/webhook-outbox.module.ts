import { type DynamicModule, type InjectionToken, Module, type Provider } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { KeyRing } from './endpoints/key-ring.js';
import { WebhookEndpointsService } from './endpoints/webhook-endpoints.service.js';
import { OutboxDatabase } from './schema/outbox-database.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  getWebhookEndpointsToken,
  getWebhookOutboxToken,
  MODULE_OPTIONS_TOKEN,
  type OPTIONS_TYPE,
  OUTBOX_NAME,
  OUTBOX_OPTIONS,
  type WebhookOutboxExtras,
} from './webhook-outbox.module-definition.js';
import {
  type ResolvedWebhookOutboxOptions,
  resolveWebhookOutboxOptions,
  type WebhookOutboxOptions,
} from './webhook-outbox.options.js';
import { WebhookOutboxService } from './webhook-outbox.service.js';

/** Webhooks that are stored in the caller's transaction and sent by a relay. */
@Module({})
export class WebhookOutboxModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    const { name: _name, isGlobal: _isGlobal, dataSource: _dataSource, ...own } = options;
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
  const { name = 'default', dataSource = 'default' } = extras;
  const service = getWebhookOutboxToken(name);
  const endpoints = getWebhookEndpointsToken(name);
  const isDefault = name === 'default';
  return {
    ...definition,
    providers: [
      ...(definition.providers ?? []),
      ...ownProviders(name, dataSourceToken(dataSource)),
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

function ownProviders(name: string, dataSource: InjectionToken): Provider[] {
  return [
    { provide: OUTBOX_NAME, useValue: name },
    {
      provide: OUTBOX_OPTIONS,
      useFactory: (options: WebhookOutboxOptions) => resolveWebhookOutboxOptions(options),
      inject: [MODULE_OPTIONS_TOKEN],
    },
    {
      provide: OutboxDatabase,
      // Injected where it is global, so that it is connected before us; else looked up everywhere, once it exists.
      useFactory: (options: ResolvedWebhookOutboxOptions, moduleRef: ModuleRef, found: DataSource | undefined) =>
        new OutboxDatabase(options, () => found ?? moduleRef.get<DataSource>(dataSource, { strict: false })),
      inject: [OUTBOX_OPTIONS, ModuleRef, { token: dataSource, optional: true }],
    },
    {
      provide: KeyRing,
      useFactory: ({ keys }: ResolvedWebhookOutboxOptions) => new KeyRing(keys),
      inject: [OUTBOX_OPTIONS],
    },
  ];
}

/** As `getDataSourceToken` of `@nestjs/typeorm` names it, which need not be installed. */
function dataSourceToken(dataSource: InjectionToken): InjectionToken {
  if (dataSource === 'default') return DataSource;
  return typeof dataSource === 'string' ? `${dataSource}DataSource` : dataSource;
}
