import { type CustomTransportStrategy, RmqContext, Server } from '@nestjs/microservices';

export interface BrokerMessage {
  readonly pattern: string;
  readonly data: unknown;
  /** From 1. */
  deliveries: number;
}

/** A queue that behaves as RabbitMQ's: what is not acked when its channel closes goes back to the front. */
export class MemoryBroker {
  readonly deadLetters: unknown[] = [];
  acked = 0;
  requeued = 0;
  private readonly queue: BrokerMessage[] = [];
  private channel: MemoryChannel | undefined;

  publish(pattern: string, ...data: readonly unknown[]): void {
    this.queue.push(...data.map((one) => ({ pattern, data: one, deliveries: 0 })));
    this.deliver();
  }

  /** Messages that wait, or are with a consumer. */
  get unsettled(): number {
    return this.queue.length + (this.channel?.held.size ?? 0);
  }

  consume(prefetch: number, onMessage: (message: BrokerMessage, channel: MemoryChannel) => void): MemoryChannel {
    const channel = new MemoryChannel(this, prefetch, onMessage);
    this.channel = channel;
    this.deliver();
    return channel;
  }

  /** In a turn of its own, as something that comes over a socket. */
  deliver(): void {
    setImmediate(() => {
      const { channel } = this;
      while (channel !== undefined && !channel.isClosed && channel.held.size < channel.prefetch) {
        const message = this.queue.shift();
        if (message === undefined) return;
        message.deliveries++;
        channel.held.add(message);
        channel.onMessage(message, channel);
      }
    });
  }

  settle(message: BrokerMessage, how: 'acked' | 'dead' | 'requeued'): void {
    if (how === 'acked') this.acked++;
    if (how === 'dead') this.deadLetters.push(message.data);
    if (how === 'requeued') {
      this.requeued++;
      this.queue.unshift(message);
    }
    this.deliver();
  }
}

export class MemoryChannel {
  readonly held = new Set<BrokerMessage>();
  isClosed = false;

  constructor(
    private readonly broker: MemoryBroker,
    readonly prefetch: number,
    readonly onMessage: (message: BrokerMessage, channel: MemoryChannel) => void,
  ) {}

  ack(message: BrokerMessage): void {
    this.settle(message, 'acked');
  }

  nack(message: BrokerMessage, allUpTo: boolean, requeue: boolean): void {
    if (allUpTo) throw new Error('only single messages are settled here');
    this.settle(message, requeue ? 'requeued' : 'dead');
  }

  close(): void {
    this.isClosed = true;
    for (const message of [...this.held].reverse()) this.broker.settle(message, 'requeued');
    this.held.clear();
  }

  private settle(message: BrokerMessage, how: 'acked' | 'dead' | 'requeued'): void {
    if (this.isClosed) throw new Error('Channel closed');
    if (!this.held.delete(message)) throw new Error('unknown delivery tag');
    this.broker.settle(message, how);
  }
}

/** The transport of a Nest microservice whose broker is in this process; its handlers see what those of RabbitMQ see. */
export class MemoryBrokerServer extends Server implements CustomTransportStrategy {
  private channel: MemoryChannel | undefined;

  constructor(
    private readonly broker: MemoryBroker,
    private readonly prefetch: number,
  ) {
    super();
  }

  listen(callback: () => void): void {
    this.channel = this.broker.consume(this.prefetch, (message, channel) => {
      const context = new RmqContext([message, channel, message.pattern]);
      const { pattern, data } = message;
      void this.handleEvent(pattern, { pattern, data }, context);
    });
    callback();
  }

  close(): void {
    this.channel?.close();
  }

  on(): void {}

  unwrap<T>(): T {
    return this.broker as T;
  }
}
