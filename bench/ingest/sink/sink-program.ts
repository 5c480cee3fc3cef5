import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { type Fault, isFault } from './fault.js';
import { countLines, Storage } from './storage.js';

/**
 * A search engine that only counts, for throughput: as little work as an honest answer allows, in a process of its own. Speaks Quickwit's
 * ingest and the bulk protocol with one item a document. Its own questions are under `/-/`.
 */
const unzip = promisify(gunzip);
const storage = new Storage();
const stalled: (() => void)[] = [];
const EVERY_NTH_ITEM = 10;
let fault: Fault = 'none';
let requests = 0;

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  answer(request, response).catch((error: unknown) => {
    console.error(error);
    response.destroy();
  });
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const raw = Buffer.concat(chunks);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://sink');
  if (pathname.startsWith('/-/')) return answerOwn(pathname.slice(3), searchParams, response);
  const body = request.headers['content-encoding'] === 'gzip' ? await unzip(raw) : raw;
  const isBulk = pathname.endsWith('/_bulk');
  requests++;
  switch (fault) {
    case 'second-429':
      if (requests % 2 === 0) return refuse(response, 429);
      break;
    case 'second-503':
      if (requests % 2 === 0) return refuse(response, 503);
      break;
    case 'fifth-reset':
      if (requests % 5 !== 0) break;
      storage.store(body, isBulk ? 2 : 1);
      return void response.socket?.resetAndDestroy();
    case 'stall':
      await new Promise<void>((resolve) => stalled.push(resolve));
      break;
    case 'items-429':
    case 'none':
  }
  accept(body, isBulk, response);
}

function accept(body: Buffer, isBulk: boolean, response: ServerResponse): void {
  const isLeftOut = (document: number): boolean => fault === 'items-429' && isBulk && document % EVERY_NTH_ITEM === 0;
  storage.store(body, isBulk ? 2 : 1, isLeftOut);
  const documents = countLines(body) / (isBulk ? 2 : 1);
  if (isBulk) return send(response, 200, bulkAnswer(documents, isLeftOut));
  const counts = { num_docs_for_processing: documents, num_ingested_docs: documents, num_rejected_docs: 0 };
  send(response, 200, JSON.stringify(counts));
}

/** As short as an item may be. */
function bulkAnswer(documents: number, isLeftOut: (document: number) => boolean): string {
  const items = Array.from({ length: documents }, (_, document) =>
    isLeftOut(document)
      ? '{"index":{"_index":"logs","status":429,"error":{"type":"too_many_requests","reason":"busy"}}}'
      : '{"index":{"_index":"logs","status":201}}',
  );
  return `{"took":1,"errors":${fault === 'items-429'},"items":[${items.join(',')}]}`;
}

function answerOwn(question: string, parameters: URLSearchParams, response: ServerResponse): void {
  switch (question) {
    case 'counts': {
      const { requests, documents, bytes } = storage;
      return send(response, 200, JSON.stringify({ requests, documents, bytes }));
    }
    case 'times':
      return void response.end(storage.timesStored(Number(parameters.get('count'))));
    case 'reset': {
      const wanted = parameters.get('fault') ?? 'none';
      if (!isFault(wanted)) return refuse(response, 400);
      fault = wanted;
      requests = 0;
      storage.reset(parameters.get('ids') === 'true');
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

function refuse(response: ServerResponse, status: number): void {
  send(response, status, '{"message":"not now"}');
}

function send(response: ServerResponse, status: number, body: string): void {
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // Without it, the official clients refuse to go on.
    'x-elastic-product': 'Elasticsearch',
  };
  response.writeHead(status, headers).end(body);
}
