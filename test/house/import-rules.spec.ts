import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { EXAMPLES } from './import-examples.js';
import {
  clockLivesInCore,
  coreImportsNothing,
  environmentIsReadOnce,
  importCycles,
  libImportsOnlyCore,
  noDeepImports,
  noExportStar,
  noOwnIndex,
  type PublicSubpaths,
  type Rule,
  testingStaysInTests,
} from './import-rules.js';

const ROOT = join(import.meta.dirname, '../..');

describe.each(EXAMPLES)('the rule "%s"', (_name, rule, examples) => {
  it.each(examples)('in %s says of `%s` that it is broken: %s', (file, source, isBroken) => {
    const found = rule(file, `\n${source}\n`);
    expect(found).toHaveLength(isBroken ? 1 : 0);
    for (const sentence of found) expect(sentence.startsWith(`${file}:2 `)).toBe(true);
  });
});

describe('the rule "no cycles"', () => {
  const files = (graph: Record<string, readonly string[]>) =>
    new Map(
      Object.entries(graph).map(([name, imports]) => [
        `libs/x/src/${name}.ts`,
        imports.map((target) => `import { t } from './${target}.js';`).join('\n'),
      ]),
    );

  it('finds a cycle once, wherever it is entered', () => {
    expect(importCycles(files({ entry: ['c', 'b'], a: ['b'], b: ['c'], c: ['a'] }))).toEqual([
      'libs/x/src/a.ts -> libs/x/src/b.ts -> libs/x/src/c.ts -> libs/x/src/a.ts: no cycles',
    ]);
  });

  it('finds a file that imports itself, two that import each other, and cycles over folders and types', () => {
    expect(importCycles(files({ a: ['a'] }))).toHaveLength(1);
    expect(importCycles(files({ a: ['b'], b: ['a'] }))).toHaveLength(1);
    const folders = new Map([
      ['libs/x/src/a.ts', `import type { B } from './deep/b.js';`],
      ['libs/x/src/deep/b.ts', `export { A } from '../a.js';`],
    ]);
    expect(importCycles(folders)).toHaveLength(1);
  });

  it('accepts a diamond', () => {
    expect(importCycles(files({ a: ['b', 'c'], b: ['d'], c: ['d'], d: [] }))).toEqual([]);
  });
});

function typeScriptIn(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
    .map((file) => `${folder}/${file.split(sep).join('/')}`);
}

describe('the source tree', () => {
  const libs = readdirSync(join(ROOT, 'libs')).map((name) => `libs/${name}`);
  const sources = new Map(
    [...libs.map((folder) => `${folder}/src`), 'src', 'demo', 'bench', 'test']
      .flatMap(typeScriptIn)
      .map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]),
  );
  // Tests and benchmarks drive other people's programs, and hand them an environment and a clock.
  const shipped = new Map([...sources].filter(([file]) => !/^(test|bench)\//.test(file)));
  const offered: PublicSubpaths = new Map(
    libs.map((folder) => {
      const text = readFileSync(join(ROOT, folder, 'package.json'), 'utf8');
      const { name, exports } = JSON.parse(text) as { name: string; exports: object };
      return [name, Object.keys(exports)];
    }),
  );
  const broken = (rule: Rule, files: ReadonlyMap<string, string>) =>
    [...files].flatMap(([file, source]) => rule(file, source));

  it('is what was read', () => {
    expect(sources.size).toBeGreaterThan(40);
    for (const file of ['libs/core/src/index.ts', 'src/app.config.ts', 'test/house/import-rules.ts'])
      expect(sources.has(file)).toBe(true);
  });

  it('core imports no lib and no driver', () => expect(broken(coreImportsNothing, sources)).toEqual([]));

  it('a lib imports core and its own files only, and testing only in specs', () =>
    expect(broken(libImportsOnlyCore, sources)).toEqual([]));

  it('nothing that ships imports testing', () => expect(broken(testingStaysInTests, sources)).toEqual([]));

  it('no lib imports through its own index', () => expect(broken(noOwnIndex, sources)).toEqual([]));

  it('packages of ours are imported by what they export', () =>
    expect(broken(noDeepImports(offered), sources)).toEqual([]));

  it('process.env is read in two files only', () => expect(broken(environmentIsReadOnce, shipped)).toEqual([]));

  it('Date.now and Math.random are used in core only', () => expect(broken(clockLivesInCore, shipped)).toEqual([]));

  it('no file has export *', () => expect(broken(noExportStar, sources)).toEqual([]));

  it('no file imports itself, however long the way', () => expect(importCycles(sources)).toEqual([]));
});
