import { isObject, parseJson } from './documents.js';

/** The line before a document in a bulk. */
export interface BulkAction {
  readonly name: 'index' | 'create';
  readonly index: string | undefined;
  readonly id: string | undefined;
}

/** Pure. `undefined` for whatever is not exactly one of the two actions; fields of it that are not known are ignored. */
export function readAction(line: string): BulkAction | undefined {
  const value = parseJson(line)?.value;
  if (!isObject(value)) return undefined;
  const [name, ...more] = Object.keys(value);
  if (more.length > 0 || (name !== 'index' && name !== 'create')) return undefined;
  const meta = value[name];
  if (!isObject(meta)) return undefined;
  const index = meta['_index'] ?? meta['index_id'] ?? undefined;
  const id = meta['_id'] ?? meta['es_doc_id'] ?? undefined;
  if (!isOptionalString(index) || !isOptionalString(id)) return undefined;
  return { name, index, id };
}

function isOptionalString(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}
