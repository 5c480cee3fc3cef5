import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { RemoteSubject, type Sample } from '../harness/index.js';
import type { OutboxAction } from './programs/outbox-actions.js';

const PROGRAM = new URL('./programs/outbox.ts', import.meta.url);

export interface OutboxProcessOptions {
  readonly nodeFlags?: readonly string[];
  /** Of the DataSource. Default 10, as TypeORM's. */
  readonly poolSize?: number;
}

/** Our module in a process of its own, with what it tells about itself. */
export class OutboxProcess {
  private constructor(private readonly remote: RemoteSubject) {}

  static async start(
    url: string,
    options: WebhookOutboxOptions,
    more: OutboxProcessOptions = {},
  ): Promise<OutboxProcess> {
    const { nodeFlags = [], poolSize = 10 } = more;
    const name = `webhook-outbox (${options.role ?? 'all'})`;
    const setup = { url, options, poolSize };
    return new OutboxProcess(
      await RemoteSubject.start({ name, program: PROGRAM, subject: 'outbox', setup, nodeFlags }),
    );
  }

  run(action: OutboxAction): Promise<Sample> {
    return this.remote.run({ ...action });
  }

  stop(): Promise<void> {
    return this.remote.stop();
  }
}
