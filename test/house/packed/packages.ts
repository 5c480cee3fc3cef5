import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../../..');

/** What of a package.json decides whether a package can be installed. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** Folder under `libs/` and manifest of each package that is published, `core` first. */
export function publishedPackages(root = ROOT): ReadonlyMap<string, PackageManifest> {
  const folders = readdirSync(join(root, 'libs')).filter((lib) => existsSync(join(root, 'libs', lib, 'package.json')));
  const inOrder = ['core', ...folders.filter((lib) => lib !== 'core').toSorted()];
  return new Map(inOrder.map((lib) => [lib, readManifest(join(root, 'libs', lib))]));
}

export function readManifest(folder: string): PackageManifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageManifest;
}

/** Names that the package may import, whether or not its user took the optional ones. */
export function declaredPackages(manifest: PackageManifest, kind: 'required' | 'all'): readonly string[] {
  const { dependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  const peers = Object.keys(peerDependencies).filter((name) => kind === 'all' || !peerDependenciesMeta[name]?.optional);
  return [...Object.keys(dependencies), ...peers];
}
