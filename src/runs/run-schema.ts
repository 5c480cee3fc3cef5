import { type Migration, runMigrations } from '@nest-baton/core';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { RUNS_OPTIONS, type RunsOptions } from './runs.options.js';

const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-runs',
    statements: (schema) => [
      `CREATE TABLE ${schema}.runs (
         id              uuid PRIMARY KEY,
         state           text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'running', 'done', 'failed')),
         input           bytea NOT NULL,
         idempotency_key text UNIQUE,
         request_hash    bytea NOT NULL,
         fence           bigint NOT NULL DEFAULT 0,
         attempt         integer NOT NULL DEFAULT 0,
         worker          text,
         indexed_to      bigint NOT NULL DEFAULT 0,
         failure         text,
         handoff_id      text,
         produced_at     timestamptz,
         progress_at     timestamptz NOT NULL DEFAULT now(),
         created_at      timestamptz NOT NULL DEFAULT now(),
         finished_at     timestamptz
       )`,
      `CREATE INDEX runs_unfinished ON ${schema}.runs (progress_at) WHERE state IN ('accepted', 'running')`,
    ],
  },
];

/** Brings the table of the runs up to date before anything of this process uses it. */
@Injectable()
export class RunSchema implements OnModuleInit {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    @Inject(RUNS_OPTIONS) private readonly options: RunsOptions,
  ) {}

  async onModuleInit(): Promise<void> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const session = {
        query: async <Row>(text: string, values: readonly unknown[] = []) => {
          const { records, affected } = await runner.query(text, [...values], true);
          return { rows: (records ?? []) as Row[], rowCount: affected ?? 0 };
        },
      };
      const { schema, migrations: mode } = this.options;
      await runMigrations(session, { schema, table: 'runs_migrations', migrations: MIGRATIONS, mode });
    } finally {
      await runner.release();
    }
  }
}
