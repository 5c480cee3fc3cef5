import { WebhookEndpointsService } from '@nest-baton/webhook-outbox';
import { Body, Controller, Inject, Post } from '@nestjs/common';
import { z } from 'zod';
import { parseBody } from '../http/parse-body.js';

const newEndpoint = z.strictObject({
  url: z.string(),
  types: z.array(z.string()).min(1).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  secret: z.string().optional(),
});

@Controller('webhook-endpoints')
export class WebhookEndpointsController {
  constructor(@Inject(WebhookEndpointsService) private readonly endpoints: WebhookEndpointsService) {}

  /** The answer holds the signing secret, once. */
  @Post()
  create(@Body() body: unknown) {
    return this.endpoints.create(parseBody(newEndpoint, body));
  }
}
