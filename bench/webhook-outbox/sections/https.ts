import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { RemoteSubject, type Subject, type Use } from '../../harness/index.js';
import type { DurableServer } from '../../postgres/durable-server.js';
import { Backlog } from '../measuring/backlog.js';
import { SinkProcess } from '../sink-process.js';
import type { OutboxBench } from '../targets.js';

const PROGRAM = new URL('../programs/queues.ts', import.meta.url);
const ELLIPTIC = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

/** The same module, the same backlog; only the receiver speaks TLS, with a P-256 certificate of an authority that the process trusts. */
export async function https(bench: OutboxBench, server: DurableServer, use: Use): Promise<void> {
  const { key, cert } = await certificate();
  const folder = await mkdtemp(join(tmpdir(), 'baton-bench-ca-'));
  use({ stop: () => rm(folder, { recursive: true, force: true }) });
  await writeFile(join(folder, 'ca.pem'), cert);
  const sides: Subject[] = [];
  for (const [name, tls] of [
    ['HTTP', undefined],
    ['HTTPS', { key, cert }],
  ] as const) {
    const sink = use(await SinkProcess.start(tls));
    const setup = {
      url: await server.createDatabase(`over-${name}`),
      redisUrl: '',
      endpoints: ['/a', '/b'].map((path) => sink.origin + path),
    };
    const remote = use(
      await trusting(join(folder, 'ca.pem'), () =>
        RemoteSubject.start({ name, program: PROGRAM, subject: 'ours', setup }),
      ),
    );
    sides.push(new Backlog(remote, sink, bench.pick(20_000, 400), 60_000, false));
  }
  const pairs = await bench.interleave(sides, 'perSecond');
  bench.shows('deliveries a second over HTTPS', pairs.of('HTTPS', 'perSecond'), '/s');
  bench.meets('https', pairs.ratio('perSecond', 'HTTPS', 'HTTP'));
}

/** Node reads the variable once, when a process begins. */
async function trusting<T>(file: string, start: () => Promise<T>): Promise<T> {
  process.env.NODE_EXTRA_CA_CERTS = file;
  try {
    return await start();
  } finally {
    delete process.env.NODE_EXTRA_CA_CERTS;
  }
}

async function certificate(): Promise<{ readonly key: string; readonly cert: string }> {
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...ELLIPTIC,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
  return { key: made.private, cert: made.cert };
}
