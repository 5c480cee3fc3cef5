import type { Migration } from '@nest-baton/core';
import { appendFunction } from './append-function.js';
import { durableStreams } from './durable-streams.js';
import { keepFunctions } from './keep-functions.js';
import { lockFunctions } from './lock-functions.js';
import { openFunction, renewFunction } from './open-functions.js';
import { retainFunctions } from './retain-functions.js';
import { tables, views } from './tables.js';
import { writeFunction } from './write-function.js';

/** The table of what was applied. */
export const MIGRATIONS_TABLE = 'pg_stream_migrations';

/** Never edited once released: what changes a table or a function is the next entry. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-streams',
    statements: (schema) => [
      ...tables(schema),
      ...views(schema),
      ...lockFunctions(schema),
      openFunction(schema),
      renewFunction(schema),
      appendFunction(schema),
      writeFunction(schema),
      ...keepFunctions(schema),
      ...retainFunctions(schema),
    ],
  },
  { name: '0002-durable-streams', statements: durableStreams },
];
