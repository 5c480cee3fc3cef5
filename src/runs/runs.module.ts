import { type DynamicModule, Module } from '@nestjs/common';
import type { ServiceRole } from '../app.config.js';
import { RunsController } from './accepting/runs.controller.js';
import { RunsService } from './accepting/runs.service.js';
import { RunSchema } from './run-schema.js';
import { RunStore } from './run-store.js';
import { RUNS_OPTIONS, type RunsOptions } from './runs.options.js';
import { RunEndings } from './working/run-endings.js';
import { RunIndexer } from './working/run-indexer.js';
import { RunPoller } from './working/run-poller.js';
import { RunWorker } from './working/run.worker.js';

/** What a role takes part in: `api` accepts runs, `worker` works on them, `all` does both. */
@Module({})
export class RunsModule {
  static forRole(role: ServiceRole, options: RunsOptions): DynamicModule {
    const accepts = role !== 'worker';
    const works = role !== 'api';
    return {
      module: RunsModule,
      controllers: accepts ? [RunsController] : [],
      providers: [
        { provide: RUNS_OPTIONS, useValue: options },
        RunSchema,
        RunStore,
        ...(accepts ? [RunsService] : []),
        ...(works ? [RunIndexer, RunEndings, RunWorker, RunPoller] : []),
      ],
    };
  }
}
