import { OptionsCheck, OptionsInvalidError } from '@nest-baton/core';
import { isStandardSchema, type StandardSchema } from '../admitting/standard-schema.js';
import type { Commit } from '../batching/batch.js';
import { protocolOf } from '../protocols/protocol.js';
import type { IngestHooks } from '../settling/hooks.js';
import { resolveHooks } from './hooks-options.js';
import { addProblems } from './inner-problems.js';

/** What is said of one index. The root's own index has these among its options; `indexes` has one for each further name. */
export interface IngestIndexOptions {
  /**
   * The index's name. Required. Under `native` Quickwit's rule: a letter, then 2 to 254 letters, digits, `-`, `_` or `.`; under `bulk`
   * Elasticsearch's, or Quickwit's where the URL ends in `/_elastic`. Two names may lead to one index, with another commit or schema.
   */
  readonly index: string;
  /**
   * What "the server has it" means for tracked documents: in its log (`auto`, the default) or searchable (`wait_for`; `force` costs a commit). An
   * index of `indexes` that says nothing has the root's.
   */
  readonly commit?: Commit;
  /**
   * Any Standard Schema that answers synchronously. A document that it refuses is discarded as `invalid`; its output is what is sent. The service's
   * `Doc` is its input. Not inherited from the root.
   */
  readonly schema?: StandardSchema;
  /**
   * The id under which a document is created, from what is sent: the same for the same document, so that a second delivery finds the first. At
   * most 512 bytes without control characters; a document without one is discarded as `encode`. `bulk` only. Not inherited from the root.
   */
  // A method, so that a function of a narrower document fits.
  documentId?(doc: unknown): string;
  /** What no receipt tells. A hook that an index of `indexes` does not have is the root's. */
  readonly hooks?: IngestHooks;
}

export interface ResolvedIndexOptions {
  readonly index: string;
  readonly commit: Commit;
  readonly schema: StandardSchema | undefined;
  readonly documentId: ((doc: unknown) => string) | undefined;
  readonly hooks: IngestHooks;
}

/** What every index of a root has in common. */
export interface IndexSurroundings {
  readonly protocol: 'native' | 'bulk';
  /** The URL's path without slashes at its end. */
  readonly basePath: string;
  readonly commit: Commit;
  readonly hooks: IngestHooks;
}

const KNOWN = [
  'index',
  'commit',
  'schema',
  'documentId',
  'hooks',
] as const satisfies readonly (keyof IngestIndexOptions)[];

/** Of `check`, whatever else it has; its problems are told there. */
export function resolveIndex(
  given: Partial<IngestIndexOptions> | undefined,
  { protocol, basePath, commit, hooks }: IndexSurroundings,
  check: OptionsCheck<IngestIndexOptions>,
): ResolvedIndexOptions {
  const resolved: ResolvedIndexOptions = {
    index: check.string('index'),
    commit: check.oneOf('commit', commit, ['auto', 'wait_for', 'force']),
    schema: given?.schema,
    documentId: check.function<(doc: unknown) => string>('documentId'),
    hooks: resolveHooks(given?.hooks, hooks, check),
  };
  const problem =
    resolved.index === '' ? undefined : protocolOf(protocol, false).indexProblem(resolved.index, basePath);
  if (problem !== undefined) check.problem(`index ${problem}`);
  check.rule(
    resolved.schema === undefined || isStandardSchema(resolved.schema),
    'schema must be a Standard Schema of version 1, such as those of zod, valibot or arktype',
  );
  check.rule(
    resolved.documentId === undefined || protocol === 'bulk',
    "documentId needs protocol 'bulk': under 'native' the server keeps no ids, so it would do nothing",
  );
  return Object.freeze(resolved);
}

/** The further indexes by their names. Nothing is inherited by it: a name such as `constructor` is not there unless it was given. */
export function resolveIndexes(
  given: unknown,
  root: IndexSurroundings,
  check: OptionsCheck<{ readonly indexes?: object }>,
): Readonly<Record<string, ResolvedIndexOptions>> {
  const resolved = Object.create(null) as Record<string, ResolvedIndexOptions>;
  if (given === undefined) return Object.freeze(resolved);
  if (typeof given !== 'object' || given === null || Symbol.iterator in given) {
    check.problem('indexes must be an object of names and their options');
    return Object.freeze(resolved);
  }
  for (const [name, options] of Object.entries(given) as [string, IngestIndexOptions | undefined][]) {
    const problem = nameProblem(name);
    if (problem !== undefined) check.problem(`indexes: a name ${problem}`);
    const inner = new OptionsCheck<IngestIndexOptions>('IngestModule.indexes', options, KNOWN);
    resolved[name] = resolveIndex(options, root, inner);
    addProblems(`indexes.${name}`, inner.problems, check);
  }
  return Object.freeze(resolved);
}

/** Names stand in tokens, logs and metrics. @throws OptionsInvalidError */
export function checkRootName(name: string): void {
  const problem = name === 'default' ? undefined : nameProblem(name);
  if (problem !== undefined) throw new OptionsInvalidError('IngestModule', [`name ${problem}`]);
}

/** What is wrong with the name of an index, in words that follow "a name". */
function nameProblem(name: string): string | undefined {
  if (name.trim() === '') return 'must not be empty';
  if (name.includes(':')) return `must be without ':', not '${name}'`;
  return name === 'default' ? "must not be 'default', which is the root's own index" : undefined;
}
