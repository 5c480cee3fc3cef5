import type { QueuedWebhook, WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { WebhookQueue } from '@nest-baton/webhook-outbox';
import type { Redis } from 'ioredis';

/** An external queue in two commands: a list in Redis, from which each consumer moves messages into a list of its own until they are done. */
export class RedisListQueue extends WebhookQueue {
  constructor(
    private readonly redis: Redis,
    private readonly name: string,
  ) {
    super();
  }

  override async send(message: QueuedWebhook): Promise<void> {
    await this.redis.lpush(this.name, JSON.stringify(message));
  }
}

/** How long a consumer waits for a message before it looks whether it should end. */
const WAIT_SECONDS = 0.2;

/**
 * Consumes the list, one message at a time: deliver, then acknowledge, whatever came of it.
 *
 * When the process dies, the message stays in its own list for ever. Nobody needs to look for it there: the sweep hands the event over again.
 */
export class RedisListConsumer {
  private running: Promise<void> | undefined;
  private isStopped = false;

  /** @param redis a connection of its own, since it blocks. */
  constructor(
    private readonly redis: Redis,
    private readonly name: string,
    private readonly outbox: WebhookOutboxService,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.running;
  }

  private async run(): Promise<void> {
    const own = `${this.name}:${process.pid}`;
    while (!this.isStopped) {
      const text = await this.redis.blmove(this.name, own, 'RIGHT', 'LEFT', WAIT_SECONDS);
      if (text === null) continue;
      try {
        await this.consume(JSON.parse(text) as QueuedWebhook);
      } catch {
        // The database is away, or the relay stops: back to the end of the list.
        await this.redis.lpush(this.name, text);
      }
      await this.redis.lrem(own, 1, text);
    }
  }

  /** A message without `outboxId` is all there is of its event: stored now, under its id, so that a repetition is a duplicate. */
  private async consume({ outboxId, id, type, tenant, data }: QueuedWebhook): Promise<void> {
    if (outboxId === undefined) await this.outbox.send({ id, type, tenant, data });
    else await this.outbox.deliver(outboxId);
  }
}
