import { isUtf8 } from 'node:buffer';

export type Document = Readonly<Record<string, unknown>>;

/** Says what is wrong with a document for the index's mapping, or nothing. */
export type DocumentCheck = (document: Document, index: string) => string | undefined;

export interface ParseFailure {
  readonly message: string;
  readonly reason: 'invalid_json' | 'invalid_schema';
  /** The offending line, to the letter. */
  readonly document: string;
}

export type ReadDocument =
  | { readonly document: Document; readonly failure?: never }
  | { readonly failure: ParseFailure; readonly document?: never };

const NEW_LINE = 10;
/** ASCII only: a line of U+2028 or of no-break spaces is a (bad) document. */
const BLANK = /^[ \t\n\f\r]*$/;
/** What JSON.parse takes and the server's parser does not is rare: half a surrogate pair, and numbers beyond a double. */
const SUSPECT = /\\u[dD][89a-fA-F]|[eE]\+?\d{3}|\d{300}/;

/** Pure. The lines that count: those of ASCII white space do not. Split at `\n` only, so that a `\r` belongs to its line. */
export function linesOf(body: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < body.length;) {
    const found = body.indexOf(NEW_LINE, from);
    const to = found === -1 ? body.length : found;
    const line = body.subarray(from, to);
    if (!isBlank(line)) lines.push(line);
    from = to + 1;
  }
  return lines;
}

/** Pure. Texts of the failures are the server's, but for the mapping's. */
export function readDocument(line: Buffer, index: string, check: DocumentCheck | undefined): ReadDocument {
  const text = line.toString('utf8');
  const parsed = isUtf8(line) ? parseJson(text) : undefined;
  const fail = (reason: ParseFailure['reason'], message: string): ReadDocument => ({
    failure: { message, reason, document: text },
  });
  if (parsed === undefined) return fail('invalid_json', 'failed to parse JSON document');
  const { value } = parsed;
  if (!isObject(value)) return fail('invalid_json', 'JSON document is not an object');
  const objection = check?.(value, index);
  return objection === undefined ? { document: value } : fail('invalid_schema', objection);
}

export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return SUSPECT.test(text) && !isPortable(value) ? undefined : { value };
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isBlank(line: Buffer): boolean {
  // Most lines begin with a brace: only those that may be blank are made a string.
  const first = line[0];
  return first === undefined || (first <= 32 && BLANK.test(line.toString('latin1')));
}

function isPortable(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value === 'string') return Buffer.from(value, 'utf8').toString('utf8') === value;
  if (Array.isArray(value)) return value.every(isPortable);
  return !isObject(value) || Object.entries(value).every(([key, one]) => isPortable(key) && isPortable(one));
}
