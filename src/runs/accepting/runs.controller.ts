import { PgStreamService } from '@nest-baton/pg-stream';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Problem } from '../../http/problem.js';
import { RunsService, type RunView } from './runs.service.js';

/** Printable ASCII, as a header value can carry it. */
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

@Controller('runs')
export class RunsController {
  constructor(
    @Inject(RunsService) private readonly runs: RunsService,
    @Inject(PgStreamService) private readonly streams: PgStreamService,
  ) {}

  @Post()
  @HttpCode(202)
  async accept(
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ) {
    if (key !== undefined && !IDEMPOTENCY_KEY.test(key))
      throw new Problem(400, 'IDEMPOTENCY_KEY_INVALID', 'Idempotency-Key takes 1 to 255 printable ASCII characters.');
    const run = await this.runs.accept(body, key);
    response.location(`/runs/${run.id}`);
    return run;
  }

  @Get(':id')
  get(@Param('id') id: string): Promise<RunView> {
    return this.runs.get(id);
  }

  /** Server-sent events; resumes after `Last-Event-ID`. Waits when no worker has opened the stream yet. */
  @Get(':id/stream')
  async stream(@Param('id') id: string, @Res() response: Response): Promise<void> {
    await this.runs.requireRun(id);
    await this.streams.sse(response, id);
  }
}
