import { IngestService } from '@nest-baton/ingest';
import { Body, Controller, Inject, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { z } from 'zod';
import { parseBody } from '../http/parse-body.js';

const documents = z.array(z.record(z.string(), z.unknown())).min(1).max(1_000);

/** The ingest module at its simplest: answers when the search engine has the documents, with the verdict of each. */
@Controller('events')
export class EventsController {
  constructor(@Inject(IngestService) private readonly ingest: IngestService) {}

  /** 200 when all are accepted, 207 otherwise. A client that hangs up gives its unsent documents back. */
  @Post()
  async index(@Body() body: unknown, @Res({ passthrough: true }) response: Response) {
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('the client closed the connection')));
    const receipt = this.ingest.ingestBatch(parseBody(documents, body), { signal: gone.signal });
    const outcomes = await receipt.outcomes;
    response.status(outcomes.every(({ status }) => status === 'accepted') ? 200 : 207);
    return {
      outcomes: outcomes.map((outcome) =>
        outcome.status === 'discarded'
          ? { status: outcome.status, reason: outcome.reason }
          : outcome.status === 'accepted'
            ? { status: outcome.status, maybeDuplicate: outcome.maybeDuplicate, attribution: outcome.attribution }
            : { status: outcome.status },
      ),
    };
  }
}
