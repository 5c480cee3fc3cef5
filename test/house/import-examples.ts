import {
  clockLivesInCore,
  coreImportsNothing,
  environmentIsReadOnce,
  libImportsOnlyCore,
  noDeepImports,
  noExportStar,
  noOwnIndex,
  type PublicSubpaths,
  type Rule,
  testingStaysInTests,
} from './import-rules.js';

/** As the tree's packages: lint reads the real ones. */
const OFFERED: PublicSubpaths = new Map([
  ['@nest-baton/core', ['.', './package.json']],
  ['@nest-baton/ingest', ['.', './package.json']],
  ['@nest-baton/pg-stream', ['.', './health', './package.json']],
  ['@nest-baton/testing', ['.', './package.json']],
]);

const INGEST = 'libs/ingest/src/sending/sender.ts';

/** [file, line of it, whether the rule objects] */
export type Example = readonly [string, string, boolean];

export const EXAMPLES: readonly (readonly [string, Rule, readonly Example[]])[] = [
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
      ['libs/core/src/a.ts', `import { metrics } from '@opentelemetry/sdk-metrics';`, true],
      ['libs/core/src/a.ts', `import { randomInt } from 'node:crypto';`, false],
      ['libs/core/src/a.ts', `import { metrics } from '@opentelemetry/api';`, false],
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
      ['src/a.ts', `import { x } from '@nest-baton/pg-stream/health';`, false],
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
