import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
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

const OFFERED: PublicSubpaths = new Map([
  ['@nest-baton/core', ['.', './package.json']],
  ['@nest-baton/ingest', ['.', './health', './package.json']],
  ['@nest-baton/testing', ['.', './package.json']],
]);

const INGEST = 'libs/ingest/src/sending/sender.ts';

/** [file, line of it, whether the rule objects] */
type Example = readonly [string, string, boolean];

const EXAMPLES: readonly (readonly [string, Rule, readonly Example[]])[] = [
  [
    'core imports no lib and no driver',
    coreImportsNothing,
    [
      ['libs/core/src/postgres/pool.ts', `import { Pool } from 'pg';`, true],
      ['libs/core/src/a.ts', `import type { Logger } from '@nestjs/common';`, true],
      ['libs/core/src/a.ts', `import { IngestService } from '@nest-baton/ingest';`, true],
      ['libs/core/src/a.ts', `export { Redis } from 'ioredis';`, true],
      ['libs/core/src/a.ts', `const pg = await import('pg');`, true],
      ['libs/core/src/a.ts', `const pg = require('pg');`, true],
      ['libs/core/src/a.ts', `let client: import('pg').Client;`, true],
      ['libs/core/src/a.ts', `import pg = require('pg');`, true],
      ['libs/core/src/a.ts', `import { randomInt } from 'node:crypto';`, false],
      ['libs/core/src/a.ts', `import { describeError } from './describe-error.js';`, false],
      ['libs/core/src/a.ts', `// import { Pool } from 'pg';`, false],
      ['libs/core/src/a.spec.ts', `import fc from 'fast-check';`, false],
      [INGEST, `import { Pool } from 'undici';`, false],
    ],
  ],
  [
    'a lib imports core and its own files, never another lib, and testing only in specs',
    libImportsOnlyCore,
    [
      [INGEST, `import { PgStreamService } from '@nest-baton/pg-stream';`, true],
      [INGEST, `import type { Chunk } from '@nest-baton/pg-stream';`, true],
      [INGEST, `import { waitFor } from '@nest-baton/testing';`, true],
      ['libs/testing/src/a.ts', `import { IngestService } from '@nest-baton/ingest';`, true],
      ['libs/ingest/src/a.spec.ts', `import { Chunk } from '@nest-baton/pg-stream';`, true],
      ['libs/ingest/src/a.spec.ts', `import { waitFor } from '@nest-baton/testing';`, false],
      [INGEST, `import { BatonError } from '@nest-baton/core';`, false],
      ['libs/testing/src/a.ts', `import { Pool } from 'pg';`, false],
      ['libs/console/src/a.ts', `import { IngestService } from '@nest-baton/ingest';`, false],
      ['src/app.module.ts', `import { IngestModule } from '@nest-baton/ingest';`, false],
    ],
  ],
  [
    'nothing that ships imports testing',
    testingStaysInTests,
    [
      ['src/main.ts', `import { startPostgres } from '@nest-baton/testing';`, true],
      ['src/main.spec.ts', `import { waitFor } from '@nest-baton/testing';`, false],
      ['demo/main.ts', `import { startPostgres } from '@nest-baton/testing';`, false],
    ],
  ],
  [
    'inside a lib by relative path, never through an index',
    noOwnIndex,
    [
      [INGEST, `import { IngestService } from '@nest-baton/ingest';`, true],
      [INGEST, `import { IngestHealth } from '@nest-baton/ingest/health';`, true],
      [INGEST, `import { IngestService } from '../index.js';`, true],
      [INGEST, `import { Batch } from './index.js';`, true],
      [INGEST, `import { IngestService } from '../ingest.service.js';`, false],
      [INGEST, `import { BatonError } from '@nest-baton/core';`, false],
      ['src/main.ts', `import { AppModule } from './index.js';`, false],
    ],
  ],
  [
    'a package of ours is imported by what it exports',
    noDeepImports(OFFERED),
    [
      ['src/a.ts', `import { x } from '@nest-baton/ingest/src/receipt.js';`, true],
      ['src/a.ts', `import { x } from '@nest-baton/ingest/dist/index.js';`, true],
      ['src/a.ts', `import { x } from '@nest-baton/unknown';`, true],
      ['src/a.ts', `import { x } from '../libs/ingest/src/index.js';`, true],
      ['test/service/a.spec.ts', `import { x } from '../../libs/ingest/src/receipt.js';`, true],
      [INGEST, `import { x } from '../../../core/src/clock.js';`, true],
      [INGEST, `import { x } from '@nest-baton/core/src/clock.js';`, true],
      ['src/a.ts', `import { x } from '@nest-baton/ingest';`, false],
      ['src/a.ts', `import { x } from '@nest-baton/ingest/health';`, false],
      [INGEST, `import { x } from '../receipt.js';`, false],
      ['test/ingest/a.spec.ts', `import { x } from './b.js';`, false],
      ['test/ingest/a.spec.ts', `import { x } from '../../libs/ingest/src/receipt.js';`, false],
    ],
  ],
  [
    'process.env is read in two files',
    environmentIsReadOnce,
    [
      [INGEST, `const url = process.env.BATON_INGEST_URL;`, true],
      [INGEST, `const url = process.env['BATON_INGEST_URL'];`, true],
      [INGEST, `read(process?.env);`, true],
      [INGEST, `read(process['env']);`, true],
      [INGEST, `read(globalThis.process.env);`, true],
      [INGEST, `const { env } = process;`, true],
      [INGEST, `const { env: variables } = process;`, true],
      [INGEST, `import { env } from 'node:process';`, true],
      ['demo/main.ts', `start({ env: process.env });`, true],
      ['src/main.ts', `start(process.env);`, true],
      ['src/app.config.ts', `start(process.env);`, false],
      ['libs/testing/src/environment.ts', `start(process.env);`, false],
      [INGEST, `const { pid } = process;`, false],
      [INGEST, `// never process.env`, false],
      [INGEST, `log('set process.env first');`, false],
    ],
  ],
  [
    'the clock and chance live in core',
    clockLivesInCore,
    [
      [INGEST, `const now = Date.now();`, true],
      [INGEST, `const clock = { now: Date.now };`, true],
      [INGEST, `const jitter = Math.random();`, true],
      ['src/a.ts', `const { random } = Math;`, true],
      ['demo/main.ts', `const now = Date.now();`, true],
      ['libs/core/src/clock.ts', `const now = Date.now();`, false],
      [INGEST, `const most = Math.max(1, 2); clock.now(); new Date(0);`, false],
      ['libs/ingest/src/a.spec.ts', `const now = Date.now();`, false],
    ],
  ],
  [
    'each export is named',
    noExportStar,
    [
      ['libs/ingest/src/index.ts', `export * from './receipt.js';`, true],
      ['libs/ingest/src/index.ts', `export * as receipts from './receipt.js';`, true],
      ['src/a.ts', `export type * from './b.js';`, true],
      ['libs/ingest/src/index.ts', `export { Receipt } from './receipt.js';`, false],
      ['libs/ingest/src/index.ts', `export const product = 2 * 3;`, false],
    ],
  ],
];

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
  const shipped = new Map([...sources].filter(([file]) => !file.startsWith('test/')));
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
