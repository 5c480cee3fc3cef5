import { systemClock } from '@nest-baton/core';
import { type InjectionToken, Logger, type Provider } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { KeyRing } from '../endpoints/key-ring.js';
import { DeliveryReporter } from '../operating/delivery-reporter.js';
import { OutboxDatabase } from '../schema/outbox-database.js';
import { DueSignal } from '../waking/due-signal.js';
import {
  MODULE_OPTIONS_TOKEN,
  OUTBOX_NAME,
  OUTBOX_OPTIONS,
  OUTBOX_QUEUE,
  type WebhookOutboxExtras,
} from '../webhook-outbox.module-definition.js';
import {
  type ResolvedWebhookOutboxOptions,
  resolveWebhookOutboxOptions,
  type WebhookOutboxOptions,
} from '../webhook-outbox.options.js';

/** What the services of an instance are made of. */
export function ownProviders({ name, dataSource: given = 'default', queue }: WebhookOutboxExtras): Provider[] {
  const dataSource = dataSourceToken(given);
  return [
    { provide: OUTBOX_NAME, useValue: name ?? 'default' },
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
      provide: OUTBOX_QUEUE,
      // Looked up everywhere, once it exists: the queue's module need not know of ours.
      useFactory: (moduleRef: ModuleRef) => () =>
        queue === undefined ? undefined : moduleRef.get<unknown>(queue, { strict: false }),
      inject: [ModuleRef],
    },
    {
      provide: DeliveryReporter,
      useFactory: (options: ResolvedWebhookOutboxOptions, instance: string) =>
        new DeliveryReporter(instance, new Logger(`WebhookOutbox:${instance}`), options, systemClock),
      inject: [OUTBOX_OPTIONS, OUTBOX_NAME],
    },
    DueSignal,
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
