import type { Document } from './documents.js';

interface Kept {
  readonly documents: Document[];
  /** Lines that were accepted and then thrown away by the indexer. */
  readonly dropped: string[];
  /** Places of documents with an id, where ids mean something. */
  readonly places: Map<string, number>;
}

/** The indexes of a server, each with a store of its own. */
export class Indexes {
  private readonly kept = new Map<string, Kept>();
  private readonly names = new Set<string>();
  private readonly deleted = new Set<string>();
  private readonly templates: readonly RegExp[];

  /** Names, and patterns with `*` as those of index templates; without a list, every index exists. */
  constructor(names: readonly string[] | undefined) {
    this.templates = (names ?? ['*']).filter((name) => name.includes('*')).map(patternOf);
    for (const name of names ?? []) if (!name.includes('*')) this.names.add(name);
  }

  /** An index that only a template knows comes to be when something is sent to it. */
  has(index: string): boolean {
    if (this.deleted.has(index)) return false;
    return this.names.has(index) || this.templates.some((pattern) => pattern.test(index));
  }

  create(index: string): void {
    this.names.add(index);
    this.deleted.delete(index);
  }

  /** With what was in it. */
  delete(index: string): void {
    this.names.delete(index);
    this.deleted.add(index);
    this.kept.delete(index);
  }

  add(index: string, document: Document): void {
    this.of(index).documents.push(document);
  }

  drop(index: string, line: string): void {
    this.of(index).dropped.push(line);
  }

  /** As Elasticsearch: a document with an id that is there already is replaced, or, with `create`, left alone. */
  put(index: string, document: Document, id: string, isCreate: boolean): 'created' | 'updated' | 'conflict' {
    const { documents, places } = this.of(index);
    const place = places.get(id);
    if (place === undefined) {
      places.set(id, documents.push(document) - 1);
      return 'created';
    }
    if (isCreate) return 'conflict';
    documents[place] = document;
    return 'updated';
  }

  documents(index: string): readonly Document[] {
    return this.kept.get(index)?.documents ?? [];
  }

  dropped(index: string): readonly string[] {
    return this.kept.get(index)?.dropped ?? [];
  }

  /** The indexes stay. */
  empty(): void {
    this.kept.clear();
  }

  private of(index: string): Kept {
    const kept = this.kept.get(index) ?? { documents: [], dropped: [], places: new Map<string, number>() };
    this.kept.set(index, kept);
    return kept;
  }
}

function patternOf(name: string): RegExp {
  const escaped = name.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`);
}
