import type { Clock } from '@nest-baton/core';
import type { EndpointRow } from '../endpoints/endpoint-store.js';
import { liveSecrets, openEndpoint } from '../endpoints/endpoint-directory.js';
import type { KeyRing } from '../endpoints/key-ring.js';
import type { NewEvent } from '../producing/event-batch.js';
import { within } from '../delivering/drain.js';
import type { HttpSender } from '../sending/http-sender.js';
import { webhookIdOf } from '../sending/signature.js';

export interface DirectRequest {
  readonly event: NewEvent;
  readonly endpoint: EndpointRow;
  /** When the endpoint was read, by the monotonic clock. */
  readonly readAt: number;
  readonly trace: string | null;
}

/** `delivered`: 2xx. `cut`: by the shutdown. */
export type DirectOutcome = 'delivered' | 'failed' | 'cut';

export interface DirectResult {
  readonly eventId: string;
  readonly webhookId: string;
  readonly type: string;
  readonly endpointId: string;
  readonly outcome: DirectOutcome;
  readonly status: number | null;
}

/** At one time, and waiting for that: each holds a payload. */
export const DIRECT_CONNECTIONS = 64;
const MOST_WAITING = 1_000;

/**
 * Requests that no row stands for: each is made once, in this process, and forgotten.
 *
 * - At most 64 at a time, and 1 000 in all: what is beyond is refused before any is made.
 * - Each lasts at most `requestTimeout`; `stop` waits for them, and cuts what is left.
 */
export class DirectRequests {
  private readonly waiting: DirectRequest[] = [];
  private readonly running = new Set<Promise<void>>();
  private readonly abort = new AbortController();

  constructor(
    private readonly sender: HttpSender,
    private readonly ring: KeyRing,
    private readonly clock: Clock,
    private readonly onEnded: (result: DirectResult) => void,
  ) {}

  /** False: there is no room for all of them, and none is made. */
  offer(requests: readonly DirectRequest[]): boolean {
    if (this.abort.signal.aborted || this.waiting.length + this.running.size + requests.length > MOST_WAITING)
      return false;
    this.waiting.push(...requests);
    this.fill();
    return true;
  }

  /** Returns when none runs. */
  async stop(timeoutMs: number): Promise<void> {
    await within(timeoutMs, this.idle());
    this.abort.abort();
    for (const request of this.waiting.splice(0)) this.ended(request, 'cut', null);
    await this.idle();
    await this.sender.stop();
  }

  private async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private fill(): void {
    while (this.running.size < DIRECT_CONNECTIONS) {
      const request = this.waiting.shift();
      if (request === undefined) return;
      const tracked = this.send(request).finally(() => {
        this.running.delete(tracked);
        this.fill();
      });
      this.running.add(tracked);
    }
  }

  private async send(request: DirectRequest): Promise<void> {
    const { event, endpoint, readAt, trace } = request;
    try {
      const open = openEndpoint(this.ring, endpoint, readAt);
      const { url, headers, legacy } = open;
      const secrets = liveSecrets(open, this.clock.monotonic());
      const webhookId = webhookIdOf(event.outboxId, endpoint.id);
      const answer = await this.sender.send(
        { url, headers, secrets, legacy, type: event.type, webhookId, body: event.body, attempt: 1, trace },
        this.abort.signal,
      );
      if (answer.kind === 'cut') return this.ended(request, 'cut', null);
      const status = answer.kind === 'answer' ? answer.status : null;
      this.ended(request, status !== null && status >= 200 && status < 300 ? 'delivered' : 'failed', status);
    } catch {
      // Its secret does not open: the relays, which see the same, tell why.
      this.ended(request, 'failed', null);
    }
  }

  private ended({ event, endpoint }: DirectRequest, outcome: DirectOutcome, status: number | null): void {
    const webhookId = webhookIdOf(event.outboxId, endpoint.id);
    this.onEnded({ eventId: event.key, webhookId, type: event.type, endpointId: endpoint.id, outcome, status });
  }
}
