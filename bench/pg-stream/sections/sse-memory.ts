import { expectCount, RemoteSubject, single, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import type { SseClientsAction } from '../programs/sse-clients.js';
import type { SseServerAction } from '../programs/sse-server.js';
import type { StreamBench } from '../targets.js';

const READERS = 1_000;
const WARM_READERS = 20;

/** Resident memory of a service with many SSE readers of one stream, while chunks arrive, over the same service before they came. */
export async function sseMemory(bench: StreamBench, server: DurableServer, use: Use): Promise<void> {
  const url = await server.createDatabase('sse');
  const program = (name: string) => new URL(`../programs/${name}.ts`, import.meta.url);
  const [service, clients] = await Promise.all([
    RemoteSubject.start({
      name: 'service',
      program: program('sse-server'),
      subject: 'sse',
      setup: { url },
      nodeFlags: ['--expose-gc'],
    }),
    RemoteSubject.start({ name: 'clients', program: program('sse-clients'), subject: 'clients' }),
  ]);
  use(service);
  use(clients);
  const ask = (action: SseServerAction) => service.run({ ...action });
  const tell = (action: SseClientsAction) => clients.run({ ...action });
  const { port = NaN } = await ask({ action: 'measure' });
  // Some readers and chunks first: what the first of them costs once is not what each costs.
  await tell({ action: 'connect', port, clients: WARM_READERS });
  await ask({ action: 'append', chunks: 50, everyMs: 0 });
  await expectAll(WARM_READERS, 50);
  const idle = await ask({ action: 'measure' });

  await tell({ action: 'connect', port, clients: READERS });
  const chunks = bench.pick(200, 50);
  const busy = await ask({ action: 'append', chunks, everyMs: 20 });
  expectCount('SSE responses', busy.readers ?? NaN, WARM_READERS + READERS);
  await expectAll(WARM_READERS + READERS, 50 + chunks);
  const after = await ask({ action: 'measure' });

  const resident = Math.max(busy.rss ?? NaN, after.rss ?? NaN) - (idle.rss ?? NaN);
  const live = Math.max(busy.heapUsed ?? NaN, after.heapUsed ?? NaN) - (idle.heapUsed ?? NaN);
  // What starting has left free in the idle process takes some of what they need, and resident memory does not show it.
  const note = `after ${chunks} chunks to each reader; all of them got all, in order`;
  bench.meets('sseMemory', single(Math.max(resident, live)), note);
  bench.shows('live heap of 1 000 SSE readers over idle', single(live), 'MB');

  async function expectAll(readers: number, count: number): Promise<void> {
    const { complete = NaN } = await tell({ action: 'await', chunks: count, patienceMs: 60_000 });
    expectCount(`SSE clients that got ${count} chunks in order`, complete, readers);
  }
}
