import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import {
  errorCodes,
  everyTestRuns,
  foldersByResponsibility,
  type HouseRule,
  kebabCase,
  lintStaysOn,
  lockStep,
  modulesAreWiring,
  namedExports,
  noRegistry,
  nothingLeftToDo,
  oneAnatomy,
  smallFolders,
  type Tree,
} from './house-rules.js';

const ROOT = join(import.meta.dirname, '../..');
const NOT_WRITTEN_BY_PEOPLE = ['node_modules', 'dist', 'coverage', '.git', 'results'];
const READ = /\.(ts|mjs|json|md|ya?ml|sh)$|^\.npmrc$|^Dockerfile$|^run$/;

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return NOT_WRITTEN_BY_PEOPLE.includes(entry.name) ? [] : filesUnder(path);
    return entry.isFile() && READ.test(entry.name) ? [path] : [];
  });
}

/** [paths to texts, whether the rule objects] */
type Example = readonly [Readonly<Record<string, string>>, boolean];

const files = (folder: string, count: number, extension = '.ts') =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`${folder}/f${n}${extension}`, '']));

const RULES: readonly (readonly [string, HouseRule, readonly Example[]])[] = [
  [
    'a folder has at most ten source files, specs aside',
    smallFolders,
    [
      [files('libs/a/src/sending', 11), true],
      [{ ...files('libs/a/src/sending', 10), ...files('libs/a/src/sending', 10, '.spec.ts') }, false],
    ],
  ],
  [
    'a folder is named by its responsibility',
    foldersByResponsibility,
    [
      [{ 'libs/a/src/utils/deep/b.ts': '' }, true],
      [{ 'src/types/b.ts': '' }, true],
      [{ 'src/sending/types.ts': '' }, false],
    ],
  ],
  [
    'files are named in kebab-case',
    kebabCase,
    [
      [{ 'src/runStore.ts': '' }, true],
      [{ 'src/run_store.ts': '' }, true],
      [
        {
          'src/run-store.ts': '',
          'src/app.module.ts': '',
          'src/a.module-definition.ts': '',
          'src/a.options.spec.ts': '',
        },
        false,
      ],
    ],
  ],
  [
    'an index names each export by hand, and only a lib has one',
    namedExports,
    [
      [{ 'libs/a/src/index.ts': `export * from './b.js';` }, true],
      [{ 'libs/a/src/index.ts': `export const a = 1;` }, true],
      [{ 'libs/a/src/index.ts': `import './b.js';` }, true],
      [{ 'libs/a/src/sending/index.ts': `export { a } from './a.js';` }, true],
      [
        { 'libs/a/src/index.ts': `// Using\nexport { a, type B } from './a.js';\nexport type { C } from './c.js';` },
        false,
      ],
    ],
  ],
  [
    'every lib with a module has the same anatomy',
    oneAnatomy,
    [
      [{ 'libs/a/src/a.module.ts': '' }, true],
      [{ 'libs/a/src/sending/a.module.ts': '', 'libs/core/src/index.ts': '' }, false],
    ],
  ],
  [
    'error codes are unique, and say the name of their class',
    errorCodes,
    [
      [{ 'libs/a/src/a.errors.ts': `class GoneAwayError extends BatonError { readonly code = 'GONE_AWAY' }` }, false],
      [{ 'libs/a/src/a.errors.ts': `class GoneAwayError extends BatonError { readonly code = 'AWAY' }` }, true],
      [{ 'libs/a/src/a.errors.ts': `class GoneAway extends BatonError { readonly code = 'GONE_AWAY' }` }, true],
      [{ 'libs/a/src/sending/b.ts': `class GoneAwayError extends BatonError {}` }, true],
      [
        {
          'libs/a/src/a.errors.ts': `class GoneError extends BatonError { readonly code = 'GONE' }`,
          'libs/b/src/b.errors.ts': `class GoneError extends BatonError { readonly code = 'GONE' }`,
        },
        true,
      ],
      [
        {
          'libs/ingest/src/ingest.errors.ts': `class IngestError extends BatonError { readonly code = 'INGEST_DISCARDED' }`,
          'libs/a/src/a.ts': `class OwnError extends Error {}`,
          'libs/a/src/a.spec.ts': `class GoneAwayError extends BatonError { readonly code = 'OTHER' }`,
        },
        false,
      ],
    ],
  ],
  [
    'a module is wiring, under 100 lines',
    modulesAreWiring,
    [
      [{ 'src/a.module.ts': '\n'.repeat(100) }, true],
      [{ 'src/a.module.ts': '\n'.repeat(90), 'src/a.service.ts': '\n'.repeat(200) }, false],
    ],
  ],
  [
    'no notes to ourselves',
    nothingLeftToDo,
    [
      [{ 'src/a.ts': '// TODO: later' }, true],
      [{ 'docker-compose.yml': '# FIXME' }, true],
      [{ 'src/a.ts': 'const todo = 1;', 'README.md': 'no TODO' }, false],
    ],
  ],
  [
    'checks are not switched off',
    lintStaysOn,
    [
      [{ 'src/a.ts': '// eslint-disable-next-line' }, true],
      [{ 'src/a.ts': '/* eslint-disable no-console */' }, true],
      [{ 'src/a.ts': '// @ts-ignore' }, true],
      [{ 'src/a.ts': '// eslint-disable-next-line no-control-regex' }, false],
    ],
  ],
  [
    'every test runs',
    everyTestRuns,
    [
      [{ 'src/a.spec.ts': `it.skip('a', () => {});` }, true],
      [{ 'src/a.spec.ts': `describe.only.each([1])('a', () => {});` }, true],
      [{ 'src/a.spec.ts': `(slow ? it : it.skip)('a', () => {});` }, true],
      [{ 'src/a.spec.ts': `xit('a', () => {});` }, true],
      [{ 'src/a.spec.ts': `it.each([1])('a skip', () => {}); reader.skip(); // it.only` }, false],
    ],
  ],
  [
    'no registry is named',
    noRegistry,
    [
      [{ 'package-lock.json': '{ "resolved": "https://host/a.tgz" }' }, true],
      [{ '.npmrc': 'registry=https://host/' }, true],
      [{ 'package-lock.json': '{ "resolved": "libs/core" }', '.npmrc': 'omit-lockfile-registry-resolved=true' }, false],
    ],
  ],
  [
    'all packages have one version',
    lockStep,
    [
      [{ 'package.json': '"version": "1.1.0"', 'libs/a/package.json': '"version": "1.0.0"' }, true],
      [
        {
          'package.json': '"version": "1.1.0"',
          'libs/a/package.json': '"version": "1.1.0", "dependencies": { "@nest-baton/core": "^1.0.0" }',
        },
        true,
      ],
      [{ 'package.json': '"version": "1.1.0"', 'libs/a/src/a.metrics.ts': `const A = { version: '1.0.0' };` }, true],
      [
        {
          'package.json': '"version": "1.1.0"',
          'libs/a/package.json': '"version": "1.1.0"',
          'bench/package.json': '"version": "9.0.0"',
        },
        false,
      ],
    ],
  ],
];

describe.each(RULES)('the rule "%s"', (sentence, rule, examples) => {
  const tree: Tree = new Map(filesUnder('.').map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]));

  it('holds in this repository', () => {
    expect(tree.size).toBeGreaterThan(300);
    expect(rule(tree)).toEqual([]);
  });

  it.each(examples)('says of %j that it is broken: %s', (example, isBroken) => {
    const found = rule(new Map(Object.entries(example)));
    expect(found.length > 0).toBe(isBroken);
    for (const line of found) expect(line).toContain(sentence.split(',')[0]);
  });
});
