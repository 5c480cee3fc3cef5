import type { IngestProtocol } from '../protocols/protocol.js';
import { encodeDocument } from './encode.js';
import { conform, ignoreOutcome, isThenable, type StandardSchema } from './standard-schema.js';

/** A document that cannot be sent as it is. `cause` is what its receipt tells. */
export class RefusedDocument extends Error {
  constructor(
    readonly reason: 'encode' | 'invalid',
    override readonly cause: unknown,
  ) {
    super(`a document was refused: ${reason}`);
  }
}

interface DocumentFormSettings {
  readonly schema: StandardSchema | undefined;
  readonly documentId: ((doc: unknown) => string) | undefined;
  readonly protocol: IngestProtocol;
}

/** As Elasticsearch has it. */
const MAX_ID_BYTES = 512;

/** Control characters, and half surrogate pairs, of which a server's parser makes a malformed action line: that fails the whole request. */
const NEVER_IN_ID = /[\p{Cc}\p{Cs}]/u;

/**
 * What a document of one index becomes before it is sent: checked by the schema, named by its id, encoded. In the caller's stack, once: what
 * happens to the object later changes nothing.
 */
export class DocumentForm<Doc = unknown> {
  /** Nothing but JSON is asked of a document, neither schema nor id: `encodeDocument` is all there is, and `head` is that of every document. */
  readonly isPlain: boolean;
  /** What precedes a document without an id. */
  readonly head: string;

  constructor(private readonly settings: DocumentFormSettings) {
    this.isPlain = settings.schema === undefined && settings.documentId === undefined;
    this.head = settings.protocol.head(undefined);
  }

  /**
   * The line of a document, without its line break, and what precedes it, with its own.
   *
   * @throws RefusedDocument and nothing else: `invalid` for what the schema says, `encode` for what has no id or no JSON.
   */
  prepare(doc: Doc): { readonly line: string; readonly head: string } {
    const value = this.conformed(doc);
    const head = this.headOf(value);
    try {
      return { line: encodeDocument(value), head };
    } catch (cause) {
      throw new RefusedDocument('encode', cause);
    }
  }

  private conformed(doc: Doc): unknown {
    const { schema } = this.settings;
    if (schema === undefined) return doc;
    const result = conform(schema, doc);
    if ('cause' in result) throw new RefusedDocument('invalid', result.cause);
    return result.value;
  }

  private headOf(value: unknown): string {
    const { documentId, protocol } = this.settings;
    if (documentId === undefined) return this.head;
    let id: unknown;
    try {
      id = documentId(value);
    } catch (cause) {
      throw new RefusedDocument('encode', cause);
    }
    return protocol.head(checkedId(id));
  }
}

/** The sentences never show the id: it may be made of what the document says. */
function checkedId(id: unknown): string {
  if (isThenable(id)) {
    ignoreOutcome(id);
    throw refusedId('must give a text at once, not a promise');
  }
  if (typeof id !== 'string') throw refusedId(`must give a text, not ${id === null ? 'null' : typeof id}`);
  if (id === '') throw refusedId('must give a text that is not empty');
  const bytes = Buffer.byteLength(id);
  if (bytes > MAX_ID_BYTES) throw refusedId(`must give at most ${MAX_ID_BYTES} bytes, not ${bytes}`);
  if (NEVER_IN_ID.test(id)) throw refusedId('must give a text without control characters and halves of characters');
  return id;
}

function refusedId(sentence: string): RefusedDocument {
  return new RefusedDocument('encode', new TypeError(`documentId ${sentence}`));
}
