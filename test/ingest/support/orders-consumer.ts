import { ackDecision, IngestService } from '@nest-baton/ingest';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, EventPattern, Payload, RmqContext } from '@nestjs/microservices';

export interface Order {
  readonly id: string;
  readonly text: string;
}

/** What the handler needs of amqplib's. */
interface Channel {
  ack(message: object): void;
  nack(message: object, allUpTo: boolean, requeue: boolean): void;
}

/** The handler of the README, to the letter: a test compares them. */
@Controller()
export class OrdersConsumer {
  // Well inside the time that the broker gives a message (RabbitMQ: 30 minutes).
  protected readonly patienceMs: number = 60_000;

  constructor(@Inject(IngestService) private readonly orders: IngestService<Order>) {}

  @EventPattern<string>('order.placed')
  async index(@Payload() order: Order, @Ctx() context: RmqContext): Promise<void> {
    const channel = context.getChannelRef() as Channel;
    const message = context.getMessage();
    const signal = AbortSignal.timeout(this.patienceMs);
    const error: unknown = await this.orders.ingestSync(order, { signal }).catch((e: unknown) => e);
    switch (ackDecision(error)) {
      case 'ack':
        return channel.ack(message);
      case 'dead_letter':
        // Not back into the queue: RabbitMQ hands it to the queue's dead-letter exchange.
        return channel.nack(message, false, false);
      case 'nack':
        return channel.nack(message, false, true);
    }
  }
}
