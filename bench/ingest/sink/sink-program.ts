import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { type Dialect, dialectOf, linesPerDocument, refuse, send, sendItems, sendTaken } from './answers.js';
import { type Fault, isFault } from './fault.js';
import { isKeeps, type Keeps, LineCount, Storage } from './storage.js';

/**
 * A server that only counts, for throughput: as little work as an honest answer allows, in a process of its own. Speaks Quickwit's ingest, the
 * bulk protocol and InfluxDB's writes, with an item, or a line, a document. Its own questions are under `/-/`.
 */
const unzip = promisify(gunzip);
const storage = new Storage();
const stalled: (() => void)[] = [];
const EVERY_NTH_ITEM = 10;
let fault: Fault = 'none';
let keeps: Keeps = 'counts';
let requests = 0;
let items = 0;
let busyItems = 0;

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const path = request.url ?? '/';
  if (path.startsWith('/-/')) return answerOwn(new URL(path, 'http://sink'), response);
  answer(request, response, dialectOf(path)).catch((error: unknown) => {
    console.error(error);
    response.destroy();
  });
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));

async function answer(request: IncomingMessage, response: ServerResponse, dialect: Dialect): Promise<void> {
  const isZipped = request.headers['content-encoding'] === 'gzip';
  if (fault === 'none' && keeps !== 'ids') {
    const counted =
      isZipped && keeps === 'counts' ? new LineCount().add(await unzip(await read(request))) : await count(request);
    const documents = counted.lines / linesPerDocument(dialect);
    storage.count(documents, counted.bytes);
    return sendTaken(response, dialect, documents);
  }
  const raw = await read(request);
  await answerFaulty(isZipped ? await unzip(raw) : raw, response, dialect);
}

async function answerFaulty(body: Buffer, response: ServerResponse, dialect: Dialect): Promise<void> {
  const nth = ++requests;
  switch (fault) {
    case 'second-429':
      if (nth % 2 === 0) return refuse(response, 429);
      break;
    case 'second-503':
      if (nth % 2 === 0) return refuse(response, 503);
      break;
    case 'fifth-reset':
      if (nth % 5 !== 0) break;
      storage.store(body);
      return void response.socket?.resetAndDestroy();
    case 'stall':
      await new Promise<void>((resolve) => stalled.push(resolve));
      break;
    case 'items-429':
      if (dialect === 'bulk') return answerItems(body, response);
      break;
    case 'none':
  }
  storage.store(body);
  sendTaken(response, dialect, documentsOf(body, dialect));
}

/** Every tenth item of all requests together: one that is tried again is not refused for ever. */
function answerItems(body: Buffer, response: ServerResponse): void {
  const documents = documentsOf(body, 'bulk');
  const first = items;
  items += documents;
  const isLeftOut = (document: number): boolean => (first + document) % EVERY_NTH_ITEM === 0;
  storage.store(body, isLeftOut);
  busyItems += Array.from({ length: documents }, (_, document) => document).filter(isLeftOut).length;
  sendItems(response, documents, isLeftOut);
}

function documentsOf(body: Buffer, dialect: Dialect): number {
  return new LineCount().add(body).lines / linesPerDocument(dialect);
}

/** Counts what comes without keeping it, or lets it go by uncounted. */
function count(request: IncomingMessage): Promise<LineCount> {
  const counted = new LineCount();
  return new Promise((resolve, reject) => {
    if (keeps === 'nothing') request.resume();
    else request.on('data', (chunk: Buffer) => counted.add(chunk));
    request.once('end', () => resolve(counted)).once('error', reject);
  });
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answerOwn({ pathname, searchParams }: URL, response: ServerResponse): void {
  switch (pathname.slice(3)) {
    case 'counts': {
      const { requests, documents, bytes } = storage;
      const { user, system } = process.cpuUsage();
      return send(response, 200, JSON.stringify({ requests, documents, bytes, busyItems, cpuUs: user + system }));
    }
    case 'times':
      return void response.end(storage.timesStored(Number(searchParams.get('count'))));
    case 'reset': {
      const [wanted = '', kept = ''] = [searchParams.get('fault') ?? '', searchParams.get('keeps') ?? ''];
      if (!isFault(wanted) || !isKeeps(kept)) return refuse(response, 400);
      fault = wanted;
      keeps = kept;
      requests = items = busyItems = 0;
      storage.reset(kept);
      return send(response, 200, '{}');
    }
    case 'relent':
      fault = 'none';
      for (const resume of stalled.splice(0)) resume();
      return send(response, 200, '{}');
    default:
      return refuse(response, 404);
  }
}
