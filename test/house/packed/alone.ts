import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { declaredPackages, publishedPackages, readManifest, ROOT } from './packages.js';
import { execute, npm, type Tarball } from './tarballs.js';

/** What an empty Nest application has besides a lib: seen by the application, not by the lib. */
const OF_THE_APPLICATION = ['@nestjs/common', '@nestjs/core', '@nestjs/typeorm', 'reflect-metadata', 'rxjs'];

/** The last Nest of the CommonJS kind and what belongs to it; everything else, and all of Nest 12, is as in our own package.json. */
const NEST_11: Readonly<Record<string, string>> = {
  '@nestjs/common': '11.2.10',
  '@nestjs/core': '11.2.10',
  '@nestjs/schedule': '6.1.3',
  '@nestjs/terminus': '11.1.1',
  '@nestjs/typeorm': '11.0.3',
  typeorm: '0.3.31',
};

export type NestMajor = 11 | 12;

/** A lib is used with what it requires only, or with what its package calls optional too. */
export type Extent = 'required' | 'all';

/** Every third-party package that a lib with a Nest module, or its application, asks for. */
function thirdParties(): readonly string[] {
  const asked = [...publishedPackages()].flatMap(([lib, manifest]) =>
    // Engines and certificates for tests: large, and nothing of the kit's index loads them before they are used.
    declaredPackages(manifest, lib === 'testing' ? 'required' : 'all'),
  );
  const names = [...asked, ...OF_THE_APPLICATION, '@types/node'];
  return [...new Set(names)].filter((name) => !name.startsWith('@nest-baton/')).toSorted();
}

/**
 * All tarballs and everything they ask for, installed by npm itself, which refuses peers that contradict each other. One installation a Nest major: the
 * folders of `applicationAlone` are cut out of it.
 */
export async function installEverything(
  folder: string,
  nest: NestMajor,
  tarballs: readonly Tarball[],
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const root = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
  const versionOf = (name: string): string => {
    const version =
      (nest === 11 ? NEST_11[name] : undefined) ?? { ...root['devDependencies'], ...root['dependencies'] }[name];
    if (version === undefined)
      throw new Error(`${name} is asked for by a lib, and package.json of the root has no version of it`);
    return version;
  };
  const dependencies = {
    ...Object.fromEntries(thirdParties().map((name) => [name, versionOf(name)])),
    ...Object.fromEntries(tarballs.map(({ lib, file }) => [`@nest-baton/${lib}`, `file:${file}`])),
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  const flags = [
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--strict-peer-deps',
    '--prefer-offline',
    '--loglevel=error',
  ];
  await npm(['install', ...flags], folder);
  return folder;
}

/**
 * An application with one lib. `node_modules` above the lib holds `core` and what the lib's package.json declares, by name and nothing else, so that a
 * dependency that is not declared is not found; what only the application may know is in its own.
 *
 * Third parties are links into the installation: they are trusted to declare what they need.
 */
export function applicationAlone(folder: string, installed: string, lib: string, extent: Extent): void {
  const found = (name: string): string => join(installed, 'node_modules', name);
  const modules = join(folder, 'node_modules');
  for (const ours of new Set(['core', lib])) {
    const copy = join(modules, '@nest-baton', ours);
    cpSync(found(`@nest-baton/${ours}`), copy, { recursive: true });
    // What core asks for lies where only core finds it.
    const above = ours === lib ? modules : join(copy, 'node_modules');
    for (const name of declaredPackages(readManifest(copy), extent))
      if (!name.startsWith('@nest-baton/')) link(found(name), join(above, name));
  }
  for (const name of OF_THE_APPLICATION) link(found(name), join(folder, 'app/node_modules', name));
  for (const extension of ['mts', 'cts']) {
    const program = join(import.meta.dirname, 'consumers', `${lib}${extent === 'all' ? '.health' : ''}.ts`);
    cpSync(program, join(folder, 'app', `app.${extension}`));
  }
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}

/**
 * Compiles every application under `folder` as its owner would, and returns what the compiler says about ours: about the programs, and about the
 * declarations of our packages, which `skipLibCheck: false` reads too. What it says of third parties is theirs.
 */
export async function compileApplications(folder: string, installed: string): Promise<readonly string[]> {
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    strict: true,
    skipLibCheck: false,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    types: ['node'],
    typeRoots: [join(installed, 'node_modules/@types')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*/app/app.*'] }));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { stdout } = await execute(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], folder).catch(
    (error: { readonly message: string; readonly cause?: { readonly stdout?: string } }) => ({
      stdout: error.cause?.stdout ?? error.message,
    }),
  );
  return stdout.split('\n').filter((line) => /(^|\/)app\/app\.|node_modules\/@nest-baton\/|^error /.test(line));
}
