import type { Migration } from '@nest-baton/core';
import { appendFunction } from './append-function.js';
import { closeFunction } from './close-function.js';
import { lockFunction } from './lock-function.js';
import { openFunction } from './open-function.js';
import { tables } from './tables.js';

/** The table of what was applied. */
export const MIGRATIONS_TABLE = 'pg_stream_migrations';

/** Never edited once released: what changes a table or a function is the next entry. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-streams',
    statements: (schema) => [
      ...tables(schema),
      lockFunction(schema),
      openFunction(schema),
      appendFunction(schema),
      closeFunction(schema),
    ],
  },
];
