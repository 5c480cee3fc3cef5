import { type Answer, Wire } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { isWireFault, sendFaulty } from '../http/wire-fault.js';
import type { Gate } from '../waiting/gate.js';
import { ingestBulk } from './contract/bulk-ingest.js';
import { elasticError } from './contract/bulk-items.js';
import { asElastic } from './elastic/error-form.js';
import { answerType, refuseMediaTypes } from './elastic/media-types.js';
import { type Failure, ingestNative, type IngestTarget, type Outcome, refuse } from './contract/native-ingest.js';
import type { IngestFault, UnreadIngestFault } from './ingest-fault.js';
import type { RecordedRequest } from './ingest-request.js';
import {
  decodeBody,
  readBulkQuery,
  readNativeQuery,
  refuseByHeaders,
  type Refusal,
} from './contract/request-checks.js';
import { serverInfo } from './contract/server-info.js';

const LOAD_SHIELD_PAUSE_MS = 100;

type StatusFault = Extract<IngestFault, { readonly kind: 'status' }>;

/** Takes one request through its fault and, where that leaves it, through the server. */
export class IngestAnswerer {
  private health = { isLive: true, isReady: true };

  constructor(
    private readonly target: IngestTarget,
    private readonly maxContentLength: number,
    private readonly commits: Gate,
  ) {}

  setHealth(health: { readonly isLive?: boolean; readonly isReady?: boolean }): void {
    this.health = { ...this.health, ...health };
  }

  async refuseUnread(exchange: Exchange, request: RecordedRequest, fault: UnreadIngestFault): Promise<void> {
    if (fault.kind === 'stall') return;
    if (fault.kind === 'reset') return exchange.reset();
    if (fault.kind === 'hang-up') return exchange.hangUp();
    await this.sendStatus(exchange, request, fault);
  }

  async answer(exchange: Exchange, request: RecordedRequest, fault: IngestFault | undefined): Promise<void> {
    if (request.route === 'other') return this.sendFixed(exchange, request);
    if (fault?.kind === 'status') return this.sendStatus(exchange, request, fault);
    if (fault?.kind === 'load-shield') {
      await exchange.pause(LOAD_SHIELD_PAUSE_MS);
      return this.send(exchange, request, refuse(429, 'too many requests'));
    }
    const isBefore = fault !== undefined && 'when' in fault && fault.when === 'before';
    if (isBefore && fault.kind === 'slow') await exchange.pause(fault.delayMs);
    const isProcessed = !isBefore || fault.kind === 'slow';
    const outcome = isProcessed ? await this.process(request, fault) : { status: 200, answer: {} };
    if (isProcessed) await this.awaitCommit(exchange, request, outcome);
    if (fault?.kind === 'slow' && !isBefore) await exchange.pause(fault.delayMs);
    await this.deliver(exchange, request, outcome, fault);
  }

  private async deliver(
    exchange: Exchange,
    request: RecordedRequest,
    outcome: Outcome,
    fault: IngestFault | undefined,
  ): Promise<void> {
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'reset') return exchange.reset();
    if (fault?.kind === 'hang-up') return exchange.hangUp();
    if (fault?.kind === 'answer') {
      const body = typeof fault.body === 'function' ? fault.body(outcome.answer) : fault.body;
      return this.sendAnswer(exchange, request, this.answerOf(request, fault.status ?? outcome.status, body));
    }
    if (fault === undefined || !isWireFault(fault)) return this.send(exchange, request, outcome);
    request.status = outcome.status;
    await sendFaulty(new Wire(exchange), this.answerOf(request, outcome.status, outcome.answer), fault);
  }

  /** Decides and stores. The order of the checks is the server's. */
  private async process(request: RecordedRequest, fault: IngestFault | undefined): Promise<Outcome> {
    const { target, maxContentLength } = this;
    const isNative = request.route === 'native';
    const methods = isNative ? ['POST'] : ['POST', 'PUT'];
    const needsLength = !target.isElastic;
    const refused = refuseByHeaders(request, { methods, maxContentLength, needsLength });
    if (refused !== undefined) return refusal(refused);
    const unwanted = target.isElastic && !isNative ? refuseMediaTypes(request.headers) : undefined;
    if (unwanted !== undefined) return unwanted;
    const body = await decodeBody(request.body, request.encoding);
    if ('status' in body) return refusal(body);
    const failure: Failure | undefined = fault?.kind === 'failure' ? fault : undefined;
    if (!isNative) {
      const query = readBulkQuery(request.query);
      if ('status' in query) return refusal(query);
      const verdict = fault?.kind === 'items' ? fault.verdict : undefined;
      const outcome = ingestBulk(body, request.index, legacyOf(query, fault), target, { failure, verdict });
      return target.isElastic ? asElastic(outcome) : outcome;
    }
    const query = readNativeQuery(request.query);
    if ('status' in query) return refusal(query);
    const isDetailed = query.isDetailed && fault?.kind !== 'legacy';
    return ingestNative(body, request.index ?? '', legacyOf({ ...query, isDetailed }, fault), target, failure);
  }

  /** Documents of a commit that is held are stored, and their senders wait. */
  private async awaitCommit(exchange: Exchange, { commit }: RecordedRequest, { status }: Outcome): Promise<void> {
    if (status !== 200 || commit === 'auto' || commit === undefined) return;
    await exchange.until((resolve) => {
      void this.commits.pass().then(resolve);
      return () => undefined;
    });
  }

  private sendStatus(
    exchange: Exchange,
    request: RecordedRequest,
    { status, message = `scripted ${status}`, retryAfter }: Omit<StatusFault, 'kind'>,
  ): Promise<void> {
    const told = request.route === 'bulk' ? elasticError(status, message) : refuse(status, message);
    const { answer } = this.target.isElastic ? asElastic(told) : told;
    const headers: Record<string, string> = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
    return this.sendAnswer(exchange, request, this.answerOf(request, status, answer, headers));
  }

  private sendFixed(exchange: Exchange, request: RecordedRequest): Promise<void> {
    const { foundRoute, method } = request;
    const isRead = method === 'GET' || method === 'HEAD';
    if (foundRoute.kind === 'health' && isRead) {
      const isWell = foundRoute.which === 'livez' ? this.health.isLive : this.health.isReady;
      return this.sendAnswer(exchange, request, this.answerOf(request, isWell ? 200 : 503, `${isWell}`));
    }
    const isInfo = foundRoute.kind === 'info' && isRead && (this.target.isElastic || request.path.includes('_elastic'));
    if (isInfo)
      return this.sendAnswer(exchange, request, this.answerOf(request, 200, serverInfo(this.target.isElastic)));
    if (foundRoute.kind === 'refresh' && this.target.isElastic)
      return this.send(exchange, request, this.refresh(foundRoute));
    return this.send(exchange, request, refuse(404, 'Route not found'));
  }

  /** What is stored here can be seen at once. */
  private refresh({ index }: { readonly index: string | undefined }): Outcome {
    if (index === undefined || index === '_all' || this.target.indexes.has(index))
      return { status: 200, answer: { _shards: { total: 1, successful: 1, failed: 0 } } };
    return asElastic(elasticError(404, `no such index [${index}]`));
  }

  private send(exchange: Exchange, request: RecordedRequest, { status, answer }: Outcome): Promise<void> {
    return this.sendAnswer(exchange, request, this.answerOf(request, status, answer));
  }

  private async sendAnswer(exchange: Exchange, request: RecordedRequest, answer: Answer): Promise<void> {
    request.status = answer.status;
    await new Wire(exchange).whole(answer);
  }

  private answerOf(
    { headers: { accept } }: RecordedRequest,
    status: number,
    body: string | object | null,
    more: Record<string, string> = {},
  ): Answer {
    const product: Record<string, string> = this.target.isElastic
      ? { 'content-type': answerType(accept), 'x-elastic-product': 'Elasticsearch' }
      : { 'content-type': 'application/json' };
    const headers = { ...product, ...more };
    return { status, headers, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)) };
  }
}

function legacyOf<Query extends { readonly isLegacy: boolean }>(query: Query, fault: IngestFault | undefined): Query {
  return fault?.kind === 'legacy' ? { ...query, isLegacy: true } : query;
}

function refusal({ status, message }: Refusal): Outcome {
  return refuse(status, message);
}
