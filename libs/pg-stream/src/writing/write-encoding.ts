import type { EndRow, Producer } from './append-options.js';

/** What one statement does to one stream: `calls` appends whose chunks stand together, or a close. */
export interface WriteItem {
  readonly stream: string;
  readonly chunks: readonly Buffer[];
  /** Of the first call; the others have the numbers behind it. */
  readonly producer?: Producer | undefined;
  readonly calls: number;
  readonly lastCallChunks: number;
  readonly expectedIndex?: number | undefined;
  readonly end?: EndRow | undefined;
}

/**
 * The arguments of `stream_write`, as Postgres reads them cheapest: all chunks in one binary value, which costs no escaping on either side, the
 * rest in arrays with one element an item, and in `ends` one a chunk. A column that no item uses is null. Pure.
 */
export function encodeWrite(items: readonly WriteItem[], waitMs: number | undefined): unknown[] {
  const chunks = items.length === 1 ? (items[0] as WriteItem).chunks : items.flatMap((item) => item.chunks);
  const ends: number[] = [];
  let end = 0;
  for (const chunk of chunks) ends.push((end += chunk.length));
  const firsts: number[] = [];
  let first = 0;
  for (const item of items) {
    firsts.push(first);
    first += item.chunks.length;
  }
  return [
    texts(items.map(({ stream }) => stream)),
    `{${firsts.join(',')}}`,
    `{${items.map((item) => item.chunks.length).join(',')}}`,
    `{${ends.join(',')}}`,
    chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, end),
    ...producerColumns(items),
    numbers(items.map(({ expectedIndex }) => expectedIndex)),
    ...endColumns(items),
    waitMs ?? null,
  ];
}

function producerColumns(items: readonly WriteItem[]): readonly (string | null)[] {
  if (items.every(({ producer }) => producer === undefined)) return [null, null, null, null, null];
  return [
    texts(items.map(({ producer }) => producer?.id)),
    numbers(items.map(({ producer }) => producer?.epoch)),
    numbers(items.map(({ producer }) => producer?.seq)),
    numbers(items.map(({ calls }) => calls)),
    numbers(items.map(({ lastCallChunks }) => lastCallChunks)),
  ];
}

function endColumns(items: readonly WriteItem[]): readonly (string | null)[] {
  if (items.every(({ end }) => end === undefined)) return [null, null];
  return [texts(items.map(({ end }) => end?.status)), texts(items.map(({ end }) => end?.message))];
}

function numbers(values: readonly (number | undefined)[]): string | null {
  if (values.every((value) => value === undefined)) return null;
  return `{${values.map((value) => value ?? 'NULL').join(',')}}`;
}

/** As a literal of `text[]`. Inside the quotes only the quote and the backslash mean something. */
function texts(values: readonly (string | null | undefined)[]): string {
  return `{${values.map((value) => (value == null ? 'NULL' : `"${escaped(value)}"`)).join(',')}}`;
}

/** Looks first: there is hardly ever anything to replace, and a replacement takes five times as long. */
function escaped(text: string): string {
  return /["\\]/.test(text) ? text.replace(/["\\]/g, '\\$&') : text;
}
