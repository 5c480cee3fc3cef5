import { OptionsInvalidError } from '@nest-baton/core';
import { Inject, Injectable } from '@nestjs/common';
import { DiscoveryService, ModuleRef, Reflector } from '@nestjs/core';
import { getRedisReconcileToken } from '../redis-reconcile.module-definition.js';
import {
  HANDOFF_HANDLER_METADATA,
  MAX_CONCURRENCY,
  type HandoffHandlerMetadata,
  type HandoffWorker,
} from './handoff-handler.decorator.js';

const DEFAULT_CONCURRENCY = 10;

export interface DiscoveredHandler {
  readonly worker: HandoffWorker;
  readonly concurrency: number;
}

/** Finds the class under `@HandoffHandler` that works for an instance. */
@Injectable()
export class HandlerDiscovery {
  constructor(
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /**
   * `undefined`: this process only hands off.
   *
   * @throws OptionsInvalidError for two handlers of one instance, one of an unknown instance, or one that is no handler.
   */
  find(instance: string): DiscoveredHandler | undefined {
    const problems: string[] = [];
    const found: { name: string; handler: DiscoveredHandler }[] = [];
    for (const { metatype, instance: provider, name } of this.discovery.getProviders()) {
      if (typeof metatype !== 'function' || provider === null || typeof provider !== 'object') continue;
      const metadata = this.reflector.get<HandoffHandlerMetadata | undefined, symbol>(
        HANDOFF_HANDLER_METADATA,
        metatype,
      );
      if (metadata === undefined || found.some(({ handler }) => handler.worker === provider)) continue;
      if (!this.isKnown(metadata.instance))
        problems.push(`${String(name)} handles instance '${metadata.instance}', which is not registered`);
      if (metadata.instance !== instance) continue;
      const worker = provider as HandoffWorker;
      const concurrency = metadata.concurrency ?? DEFAULT_CONCURRENCY;
      if (typeof worker.handle !== 'function') problems.push(`${String(name)} must have a method handle(handoff)`);
      if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY)
        problems.push(
          `concurrency of ${String(name)} must be a whole number from 1 to ${MAX_CONCURRENCY}, not ${String(concurrency)}`,
        );
      found.push({ name: String(name), handler: { worker, concurrency } });
    }
    if (found.length > 1)
      problems.push(`at most one class may handle an instance, not ${found.map(({ name }) => name).join(' and ')}`);
    if (problems.length > 0) throw new OptionsInvalidError(`@HandoffHandler('${instance}')`, problems);
    return found[0]?.handler;
  }

  private isKnown(instance: string): boolean {
    try {
      this.modules.get(getRedisReconcileToken(instance), { strict: false });
      return true;
    } catch {
      return false;
    }
  }
}
