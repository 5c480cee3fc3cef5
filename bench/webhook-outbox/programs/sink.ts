import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expectCount, LatencyHistogram, type Sample, serveSubjects } from '../../harness/index.js';
import { SECRET } from '../subjects/queue-subject.js';

/** The parameters of `RemoteSubject.run`. */
export type SinkAction =
  /** `{ port }` */
  | { readonly action: 'port' }
  | { readonly action: 'reset' }
  /** Answers come so long after their requests, until it is told otherwise; 0 at first. */
  | { readonly action: 'think'; readonly ms: number }
  /**
   * What came, of paths that begin with `path`: as soon as there are `expected` different webhooks, at the latest after `patienceMs`.
   *
   * `firstMs` and `lastMs` are of the machine's monotonic clock; `p50`, `p99` and `max` count from `sinceMs`, or from the `at` in each event.
   */
  | {
      readonly action: 'wait';
      readonly path: string;
      readonly expected: number;
      readonly patienceMs: number;
      readonly sinceMs?: number;
    };

interface Arrival {
  readonly path: string;
  readonly id: string;
  readonly atMs: number;
  readonly dueMs: number | undefined;
}

const KEY = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
/** Checking every signature would cost the machine that is measured as much as making them. */
const CHECKED_OF = 50;
const ENDLESS_PIECE = Buffer.alloc(64 * 1024, 'x');

let arrivals: Arrival[] = [];
let wrong = 0;
let thinkMs = 0;

serveSubjects({
  http: () => serve(createServer(handle)),
  https: ({ key, cert }) => serve(createTlsServer({ key: String(key), cert: String(cert) }, handle)),
});

async function serve(server: ReturnType<typeof createServer>) {
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    run: (parameters: object) => obey(parameters as SinkAction, server),
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await Promise.resolve();
    },
  };
}

async function obey(action: SinkAction, server: ReturnType<typeof createServer>): Promise<Sample> {
  switch (action.action) {
    case 'port':
      return { port: (server.address() as AddressInfo).port };
    case 'reset':
      arrivals = [];
      return {};
    case 'think':
      thinkMs = action.ms;
      return {};
    case 'wait':
      return wait(action);
  }
}

async function wait({ path, expected, patienceMs, sinceMs }: Extract<SinkAction, { action: 'wait' }>): Promise<Sample> {
  const until = nowMs() + patienceMs;
  // The cheap count first: with repeats it is too high, which the second sees.
  while (nowMs() < until && (arrivals.length < expected || uniqueOf(path) < expected)) await sleep(5);
  expectCount('wrong signatures', wrong, 0);
  const ours = arrivals.filter((arrival) => arrival.path.startsWith(path));
  const histogram = new LatencyHistogram();
  for (const { atMs, dueMs } of ours) {
    const from = sinceMs ?? dueMs;
    if (from !== undefined) histogram.record(atMs - from);
  }
  const times = { firstMs: ours[0]?.atMs ?? NaN, lastMs: ours.at(-1)?.atMs ?? NaN };
  return {
    requests: ours.length,
    unique: uniqueOf(path),
    ...times,
    ...(histogram.count > 0 ? histogram.toSample() : {}),
  };
}

function uniqueOf(path: string): number {
  return new Set(arrivals.filter((arrival) => arrival.path.startsWith(path)).map(({ id }) => id)).size;
}

function handle(...[request, response]: Parameters<RequestListener>): void {
  const atMs = nowMs();
  const pieces: Buffer[] = [];
  response.on('error', () => undefined);
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces).toString();
    const path = request.url ?? '';
    const id = String(request.headers['webhook-id']);
    arrivals.push({ path, id, atMs, dueMs: dueOf(body) });
    if (arrivals.length % CHECKED_OF === 1 && !isSigned(request, id, body)) wrong++;
    if (thinkMs === 0) answer(path, response);
    else setTimeout(() => answer(path, response), thinkMs);
  });
}

function answer(path: string, response: ServerResponse): void {
  if (path.startsWith('/hang')) return;
  if (path.startsWith('/closing')) return void response.writeHead(204, { connection: 'close' }).end();
  if (!path.startsWith('/endless')) return void response.writeHead(204).end();
  response.writeHead(200);
  const pour = (): void => {
    while (!response.destroyed && response.write(ENDLESS_PIECE));
  };
  response.on('drain', pour);
  pour();
}

function isSigned({ headers }: IncomingMessage, id: string, body: string): boolean {
  const timestamp = String(headers['webhook-timestamp']);
  const signature = createHmac('sha256', KEY).update(`${id}.${timestamp}.${body}`).digest('base64');
  return String(headers['webhook-signature']).split(' ').includes(`v1,${signature}`);
}

function dueOf(body: string): number | undefined {
  const found = /"at":([\d.]+)/.exec(body)?.[1];
  return found === undefined ? undefined : Number(found);
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
