import { readAction } from './bulk-action.js';
import { elasticError, type Item, itemOf, texts } from './bulk-items.js';
import { isObject, linesOf, parseJson, readDocument } from './documents.js';
import { itemFailure } from './failure-reasons.js';
import type { ItemVerdict } from '../ingest-fault.js';
import type { SentDocument } from '../ingest-request.js';
import { type Failure, type IngestTarget, isIndexId, type Outcome, V1_DISABLED } from './native-ingest.js';
import type { BulkQuery } from './request-checks.js';

/** What a script says about a bulk. */
export interface BulkFaults {
  readonly failure?: Failure | undefined;
  readonly verdict?: ((document: SentDocument, position: number) => ItemVerdict | undefined) | undefined;
}

/** An action and its document. */
interface Entry {
  readonly action: 'index' | 'create';
  readonly index: string;
  readonly id: string | undefined;
  readonly line: Buffer;
}

/** Elasticsearch's rule; Quickwit's is another. */
const ELASTIC_INDEX_NAME = /^(?!\.{1,2}$)[^-_+A-Z\\/*?"<>| ,#:][^A-Z\\/*?"<>| ,#:]{0,254}$/;
/** Of an id, in bytes. */
const MAX_ID_BYTES = 512;
const NEW_LINE = 10;

/** The bulk routes from the point on where the body is decoded and the query read. `defaultIndex` is that of the path. */
export function ingestBulk(
  body: Buffer,
  defaultIndex: string | undefined,
  query: BulkQuery,
  target: IngestTarget,
  faults: BulkFaults = {},
): Outcome {
  const isLegacy = query.isLegacy || !target.isV2Enabled;
  if (isLegacy && !target.isV1Enabled) return elasticError(500, V1_DISABLED);
  const entries =
    (target.isElastic ? refuseElastic(body) : undefined) ?? readEntries(linesOf(body), defaultIndex, target);
  if ('status' in entries) return entries;
  if (isLegacy) return ingestLegacy(entries, target);
  const isNameValid = target.isElastic ? (name: string) => ELASTIC_INDEX_NAME.test(name) : isIndexId;
  // As Quickwit: when no document is left to be routed, it forgets the items for those that it has refused.
  if (!target.isElastic && !entries.some(({ index }) => isNameValid(index))) return answer([]);
  return answer(
    entries.map((entry, position) =>
      isNameValid(entry.index)
        ? ingestEntry(entry, position, target, faults)
        : itemOf(entry, 400, misnamed(entry.index, target), target),
    ),
  );
}

/** What Elasticsearch minds and Quickwit does not. */
function refuseElastic(body: Buffer): Outcome | undefined {
  if (body.length === 0) return elasticError(400, 'request body is required', 'parse_exception');
  if (body.at(-1) === NEW_LINE) return undefined;
  return elasticError(400, 'The bulk request must be terminated by a newline [\\n]', 'illegal_argument_exception');
}

function misnamed(index: string, { isElastic }: IngestTarget) {
  return isElastic
    ? { type: 'invalid_index_name_exception', reason: `Invalid index name [${index}]` }
    : { type: 'illegal_argument_exception', reason: `invalid index id [${index}]` };
}

/** All or nothing: one malformed line refuses the whole bulk, and so does, for Elasticsearch, an id that is too long. */
function readEntries(
  lines: readonly Buffer[],
  defaultIndex: string | undefined,
  { isElastic }: IngestTarget,
): readonly Entry[] | Outcome {
  const entries: Entry[] = [];
  for (let at = 0; at < lines.length; at += 2) {
    const action = readAction((lines[at] as Buffer).toString('utf8'));
    if (action === undefined)
      return elasticError(
        400,
        `Malformed action/metadata line [${at + 1}]: no action that is known`,
        'illegal_argument_exception',
      );
    const line = lines[at + 1];
    if (line === undefined) return invalid('no requests added');
    const index = action.index ?? defaultIndex;
    if (index === undefined) return invalid('index is missing');
    const idBytes = isElastic ? Buffer.byteLength(action.id ?? '') : 0;
    if (idBytes > MAX_ID_BYTES)
      return invalid(`id [${action.id}] is too long, must be no longer than ${MAX_ID_BYTES} bytes but was: ${idBytes}`);
    entries.push({ action: action.name, index, id: action.id, line });
  }
  return entries;
}

function ingestEntry(entry: Entry, position: number, target: IngestTarget, { failure, verdict }: BulkFaults): Item {
  const { index, id, line } = entry;
  if (!target.indexes.has(index)) return itemOf(entry, 404, itemFailure('index_not_found', index), target);
  if (failure !== undefined && (failure.index ?? index) === index) {
    const { status, ...error } = itemFailure(failure.reason, index);
    return itemOf(entry, status, error, target);
  }
  const said = verdict?.({ index, id, line: line.toString('utf8'), value: objectOf(line) }, position);
  if (said === undefined) return storeEntry(entry, target);
  const {
    status,
    isStored = false,
    type,
    reason,
  } = typeof said === 'number' ? ({ status: said } as Exclude<ItemVerdict, number>) : said;
  if (status < 400) return { ...storeEntry(entry, target), status };
  if (isStored) storeEntry(entry, target);
  const usual = texts(status, index, target);
  return itemOf(entry, status, { type: type ?? usual.type, reason: reason ?? usual.reason }, target);
}

/** What the document deserves. */
function storeEntry(entry: Entry, target: IngestTarget): Item {
  const { index, id, line, action } = entry;
  if (target.isElastic && id === '')
    return itemOf(
      entry,
      400,
      { type: 'illegal_argument_exception', reason: 'if _id is specified it must not be empty' },
      target,
    );
  const { document, failure } = readDocument(line, index, target.check);
  if (document === undefined) {
    if (target.isValidating)
      return itemOf(entry, 400, { type: 'document_parsing_exception', reason: failure.message }, target);
    target.indexes.drop(index, failure.document);
    return itemOf(entry, 201, undefined, target);
  }
  if (!target.isElastic || id === undefined) {
    target.indexes.add(index, document);
    return itemOf(entry, 201, undefined, target);
  }
  const result = target.indexes.put(index, document, id, action === 'create');
  if (result === 'conflict') return itemOf(entry, 409, texts(409, index, target), target);
  return itemOf(entry, result === 'created' ? 201 : 200, undefined, target);
}

/** The first version of the service tells nothing about its documents, and knows one error for all: an index that is not there. */
function ingestLegacy(entries: readonly Entry[], target: IngestTarget): Outcome {
  const unknown = entries.find(({ index }) => !target.indexes.has(index));
  if (unknown !== undefined) return elasticError(404, `index \`${unknown.index}\` not found`);
  for (const entry of entries) storeEntry(entry, { ...target, isValidating: false, isElastic: false });
  return { status: 200, answer: { took: 0, errors: false, items: [] } };
}

function answer(items: readonly Item[]): Outcome {
  const errors = items.some(({ status }) => status >= 400);
  return { status: 200, answer: { took: 0, errors, items: items.map(({ shown }) => shown) } };
}

function invalid(what: string): Outcome {
  return elasticError(400, `Validation Failed: 1: ${what};`, 'action_request_validation_exception');
}

function objectOf(line: Buffer): Readonly<Record<string, unknown>> | undefined {
  const value = parseJson(line.toString('utf8'))?.value;
  return isObject(value) ? value : undefined;
}
