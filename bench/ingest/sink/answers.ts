import type { ServerResponse } from 'node:http';

/** The three interfaces that documents come by. */
export type Dialect = 'quickwit' | 'bulk' | 'influx';

/** By the path alone. */
export function dialectOf(path: string): Dialect {
  if (path.includes('/_bulk')) return 'bulk';
  return path.startsWith('/api/v2/write') ? 'influx' : 'quickwit';
}

/** Under `bulk` an action precedes each document. */
export function linesPerDocument(dialect: Dialect): 1 | 2 {
  return dialect === 'bulk' ? 2 : 1;
}

/** What each dialect says when all documents were taken. */
export function sendTaken(response: ServerResponse, dialect: Dialect, documents: number): void {
  switch (dialect) {
    case 'influx':
      return void response.writeHead(204).end();
    case 'bulk':
      return send(response, 200, allTaken(documents));
    case 'quickwit':
      return send(
        response,
        200,
        `{"num_docs_for_processing":${documents},"num_ingested_docs":${documents},"num_rejected_docs":0}`,
      );
  }
}

export function sendItems(response: ServerResponse, documents: number, isLeftOut: (document: number) => boolean): void {
  const items = Array.from({ length: documents }, (_, document) => (isLeftOut(document) ? BUSY : TAKEN));
  send(response, 200, `{"took":1,"errors":${items.includes(BUSY)},"items":[${items.join(',')}]}`);
}

export function refuse(response: ServerResponse, status: number): void {
  send(response, status, '{"message":"not now"}');
}

export function send(response: ServerResponse, status: number, body: string): void {
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // Without it, the official clients refuse to go on.
    'x-elastic-product': 'Elasticsearch',
  };
  response.writeHead(status, headers).end(body);
}

/** As short as an item may be. */
const TAKEN = '{"create":{"_index":"logs","status":201}}';
const BUSY = '{"create":{"_index":"logs","status":429,"error":{"type":"too_many_requests","reason":"busy"}}}';

const MOST_REMEMBERED = 100;
const remembered = new Map<number, string>();

/** Remembered by size: what an answer costs to write is the server's matter, and would be counted against whoever speaks bulk. */
function allTaken(documents: number): string {
  const known = remembered.get(documents);
  if (known !== undefined) return known;
  if (remembered.size >= MOST_REMEMBERED) remembered.clear();
  const text = `{"took":1,"errors":false,"items":[${Array<string>(documents).fill(TAKEN).join(',')}]}`;
  remembered.set(documents, text);
  return text;
}
