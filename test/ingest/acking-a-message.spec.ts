import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IngestModule } from '@nest-baton/ingest';
import { type FakeQuickwit, freePort, hintsUnderTest, waitFor } from '@nest-baton/testing';
import { type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ids, INDEX, startSink, stopAll } from './support/bench.js';
import { MemoryBroker, MemoryBrokerServer } from './support/memory-broker.js';
import { type Order, OrdersConsumer } from './support/orders-consumer.js';

/** That of the README with less patience, so that a test need not wait for a minute. */
class HastyConsumer extends OrdersConsumer {
  protected override readonly patienceMs: number = 250;
}

const running: INestMicroservice[] = [];

async function consume(
  broker: MemoryBroker,
  url: string,
  Consumer: typeof OrdersConsumer = HastyConsumer,
): Promise<INestMicroservice> {
  const pace = { retry: { base: 5, cap: 50 }, hints: hintsUnderTest(), maxDelay: 20, closeTimeout: 100 };

  @Module({
    imports: [IngestModule.forRoot({ url, index: INDEX, ...pace })],
    controllers: [Consumer],
  })
  class AppModule {}

  const strategy = new MemoryBrokerServer(broker, 100);
  const app = await NestFactory.createMicroservice(AppModule, { strategy, logger: false });
  running.push(app);
  await app.listen();
  return app;
}

function orders(count: number): readonly Order[] {
  return Array.from({ length: count }, (_, i) => ({ id: `order ${i}`, text: 'a lamp' }));
}

function stored(sink: FakeQuickwit): readonly unknown[] {
  return [...new Set(ids(sink))].toSorted();
}

describe('acking a message by what became of its document', () => {
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await stopAll();
  });

  it('is done by the handler that the README shows', () => {
    const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
    const [, handler = 'none'] =
      /(@Controller\(\)\n)export (class [^]*)/.exec(read('test/ingest/support/orders-consumer.ts'))?.slice(1) ?? [];
    expect(read('libs/ingest/README.md')).toContain(`@Controller()\n${handler}`);
  });

  it('acks what the server has, many messages a request', async () => {
    const sink = await startSink();
    const broker = new MemoryBroker();
    broker.publish('order.placed', ...orders(500));
    await consume(broker, sink.url, OrdersConsumer);
    await waitFor(() => broker.acked === 500, { description: 'all 500 messages are acked' });
    expect(stored(sink)).toEqual(
      orders(500)
        .map(({ id }) => id)
        .toSorted(),
    );
    expect([broker.requeued, broker.unsettled, broker.deadLetters]).toEqual([0, 0, []]);
    expect(sink.requests.length).toBeLessThan(100);
  });

  it('dead-letters what the server rejects or what has no JSON, and nothing beside it', async () => {
    const sink = await startSink({ validate: ({ text }) => (typeof text === 'string' ? undefined : 'no text') });
    const broker = new MemoryBroker();
    await consume(broker, sink.url);
    broker.publish('order.placed', ...orders(20), { id: 'no text' }, 'no object', ...orders(3));
    await waitFor(() => broker.unsettled === 0, { description: 'the queue is empty' });
    expect(broker).toMatchObject({ acked: 23, requeued: 0, deadLetters: ['no object', { id: 'no text' }] });
    expect(stored(sink)).toHaveLength(20);
  });

  it('hands messages back while the server is away, and acks them once it is there', async () => {
    const port = await freePort();
    const broker = new MemoryBroker();
    broker.publish('order.placed', ...orders(50));
    await consume(broker, `http://127.0.0.1:${port}`);
    await waitFor(() => broker.requeued >= 50, { description: 'every message was handed back' });
    expect([broker.acked, broker.deadLetters]).toEqual([0, []]);
    const sink = await startSink({ port });
    await waitFor(() => broker.acked === 50, { description: 'all 50 messages are acked' });
    expect(stored(sink)).toHaveLength(50);
    expect([broker.deadLetters, broker.unsettled]).toEqual([[], 0]);
  });

  it('hands messages back, and dead-letters none, when the server does not want our requests', async () => {
    const sink = await startSink({ indexes: ['others'] });
    const broker = new MemoryBroker();
    await consume(broker, sink.url);
    broker.publish('order.placed', ...orders(20));
    await waitFor(() => broker.requeued >= 20, { description: 'every message was handed back' });
    expect([broker.acked, broker.deadLetters]).toEqual([0, []]);
    sink.createIndex(INDEX);
    await waitFor(() => broker.acked === 20, { description: 'all 20 messages are acked' });
    expect(stored(sink)).toHaveLength(20);
  });

  it('loses nothing when the application closes during handling: the next one gets every message, with the same ids', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'after' });
    const broker = new MemoryBroker();
    broker.publish('order.placed', ...orders(50));
    const first = await consume(broker, sink.url);
    await waitFor(() => ids(sink).length === 50, { description: 'the server stored all documents' });
    await first.close();
    expect([broker.acked, broker.unsettled, broker.deadLetters]).toEqual([0, 50, []]);
    sink.clearFaults();
    await consume(broker, sink.url);
    await waitFor(() => broker.acked === 50, { description: 'all 50 messages are acked' });
    // Who reads deduplicates on the id.
    expect([ids(sink).length, stored(sink)]).toEqual([
      100,
      orders(50)
        .map(({ id }) => id)
        .toSorted(),
    ]);
  });
});
