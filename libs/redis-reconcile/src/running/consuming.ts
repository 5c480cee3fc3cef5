import type { HandlerDiscovery } from '../handling/handler-discovery.js';
import type { ShutdownReport } from '../redis-reconcile.events.js';
import { HandoffEngine, type HandoffEngineOptions } from './handoff-engine.js';

export type ConsumingOptions = Omit<HandoffEngineOptions, 'worker' | 'concurrency'> & {
  readonly handlers: HandlerDiscovery;
};

/**
 * Whether and how this process takes work of the instance: without a handler it runs nothing.
 */
export class Consuming {
  private running: HandoffEngine | undefined;
  private isStopped = false;

  constructor(private readonly options: ConsumingOptions) {}

  /** `undefined`: this process only hands off. */
  get engine(): HandoffEngine | undefined {
    return this.running;
  }

  /** Runs the instance's handler, if there is one. @throws what stops the application from starting; nothing runs then. */
  async startHandler(): Promise<void> {
    const { handlers, name } = this.options;
    const handler = handlers.find(name);
    if (handler === undefined || this.isStopped) return;
    this.running = new HandoffEngine({ ...this.options, ...handler });
    try {
      await this.running.start();
    } catch (error) {
      await this.running.stop();
      throw error;
    }
  }

  /** `undefined`: nothing ran. */
  async stop(): Promise<ShutdownReport | undefined> {
    this.isStopped = true;
    return this.running?.stop();
  }
}
