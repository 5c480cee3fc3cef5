import { OptionsInvalidError, unknownName } from '@nest-baton/core';
import type { IngestRoot } from '../ingest.root.js';
import type { IngestService } from '../ingest.service.js';

/** What `forFeature` asks for. */
export interface Feature {
  readonly name: string;
  readonly rootName: string;
}

/**
 * The service of a named index: that of the root, the same for every module that asks.
 *
 * @param namesake a root with the feature's name, which would be injected by the same token.
 * @throws OptionsInvalidError when there is no such root or index, or when two things have one name.
 */
export function featureOf(
  { name, rootName }: Feature,
  root: IngestRoot | undefined,
  namesake: IngestRoot | undefined,
): IngestService {
  const service = root?.index(name);
  if (service !== undefined && namesake === undefined) return service;
  throw new OptionsInvalidError('IngestModule.forFeature', [problemOf({ name, rootName }, root)]);
}

function problemOf({ name, rootName }: Feature, root: IngestRoot | undefined): string {
  if (root === undefined) {
    const call = rootName === 'default' ? 'IngestModule.forRoot' : `IngestModule.forRoot with the name ${rootName}`;
    return `${name}: there is no ${call}, or it did not start: import it once, in the application's module`;
  }
  if (root.index(name) === undefined) {
    const known = root.indexNames.length === 0 ? 'none' : root.indexNames.join(', ');
    return `${unknownName('index', name, root.indexNames)} (further indexes of the root ${rootName}: ${known})`;
  }
  return `${name} is the name of an index of the root ${rootName} and of another forRoot: rename one of them`;
}
