/** Starts the service as it is built, against real backends, asks for its health and one run, and stops it as an orchestrator would. */
import { fileURLToPath } from 'node:url';
import { FakeQuickwit, freePort, startPostgres, startProcess, startRedis, waitFor } from '@nest-baton/testing';

const stops: (() => Promise<unknown>)[] = [];

async function own<T extends { stop(): Promise<unknown> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  stops.push(() => started.stop());
  return started;
}

try {
  const [postgres, redis, sink] = await Promise.all([
    own(startPostgres({ exclusive: true })),
    own(startRedis({ exclusive: true })),
    own(FakeQuickwit.start()),
  ]);
  const port = await freePort();
  const entry = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
  const env = {
    BATON_DATABASE_URL: postgres.url,
    BATON_REDIS_URL: redis.url,
    BATON_INGEST_URL: sink.url,
    BATON_PORT: `${port}`,
  };
  const service = await own(startProcess({ entry, env }));
  const base = `http://127.0.0.1:${port}`;
  const isOk = async (path: string) => (await fetch(base + path).catch(() => undefined))?.ok === true;
  await waitFor(() => isOk('/health/ready'), { timeoutMs: 30_000, description: 'the built service is ready' });
  const accepted = await fetch(`${base}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'one\ntwo\n' }),
  });
  const { id } = (await accepted.json()) as { id: string };
  const stateOf = async () => ((await (await fetch(`${base}/runs/${id}`)).json()) as { state: string }).state;
  await waitFor(async () => (await stateOf()) === 'done', { timeoutMs: 20_000, description: 'its first run is done' });
  service.signal('SIGTERM');
  await service.exited;
  console.log('the built service started, finished a run and stopped');
} finally {
  for (const stop of stops.reverse()) await stop();
}
