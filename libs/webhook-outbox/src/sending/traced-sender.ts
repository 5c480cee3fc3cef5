import type { Clock } from '@nest-baton/core';
import type { OutboxSpans } from '../operating/outbox-spans.js';
import type { Answer } from './answer.js';
import { HttpSender, type HttpSenderOptions, type WebhookRequest } from './http-sender.js';

/** Sends each request in a span of its own, in which instrumentations of the HTTP client find it. */
export class TracedSender extends HttpSender {
  constructor(
    options: HttpSenderOptions,
    clock: Clock,
    private readonly spans: OutboxSpans,
  ) {
    super(options, clock);
  }

  override send(request: WebhookRequest, signal: AbortSignal): Promise<Answer> {
    return this.spans.areHeeded ? this.sendInSpan(request, signal) : super.send(request, signal);
  }

  private async sendInSpan(request: WebhookRequest, signal: AbortSignal): Promise<Answer> {
    const { url, body, attempt = 1, trace = null } = request;
    const span = this.spans.request({ url, bytes: Buffer.byteLength(body), attempt, trace });
    const answer = await span.run(() => super.send(request, signal));
    span.end(
      answer.kind === 'answer'
        ? {
            attributes: { 'http.response.status_code': answer.status },
            errorType: answer.status < 200 || answer.status >= 300 ? String(answer.status) : undefined,
          }
        : { errorType: answer.kind },
    );
    return answer;
  }
}
