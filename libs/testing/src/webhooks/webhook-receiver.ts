import { systemClock } from '@nest-baton/core';
import { Wire } from '../http/answer.js';
import { type CertificateFlaw, serverCertificate, sharedAuthority } from '../http/certificates.js';
import type { ConnectionFault } from '../http/connections.js';
import type { Exchange } from '../http/exchange.js';
import { LocalHttpServer } from '../http/local-http-server.js';
import { type Script, ScriptBook } from '../http/script.js';
import { sendFaulty } from '../http/wire-fault.js';
import { type ReceivedWebhook, recordOf, type WebhookRecord } from './received-webhook.js';
import { SignatureChecker, type Verification } from './signatures.js';
import { answerOf, type UnreadWebhookAnswer, type WebhookAnswer } from './webhook-answer.js';

export interface WebhookReceiverOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** `true`: HTTPS with a certificate that holds for 127.0.0.1 and localhost, of the authority in `ca`. A flaw: that, and all else right. Default: HTTP. */
  readonly tls?: boolean | CertificateFlaw;
  /** Each request's signature is checked against these when it comes (`whsec_...`; `whpk_...` for ed25519). `trust()` adds more. Default: none. */
  readonly secrets?: readonly string[];
  /** How far a timestamp may be from the time of arrival, in milliseconds. Default and most: 300 000, as the reference library. */
  readonly toleranceMs?: number;
}

/** Requests that a script is for. Conditions that are given must all hold. */
export interface WebhookFilter {
  /** The path with or without its query string. */
  readonly path?: string;
  readonly id?: string;
  readonly matches?: (request: ReceivedWebhook) => boolean;
}

/**
 * Somebody else's HTTP endpoint: keeps every request before it answers, and answers 204 unless told otherwise.
 *
 * - Signatures are checked by `standardwebhooks`, the reference library, and by nothing of ours (but see `SignatureChecker` for `v1a`).
 * - However an answer goes wrong, and however much of it there is, this process stays small: it sends only as fast as the client reads.
 * - `stop()` ends every connection, whatever state it is in.
 */
export class WebhookReceiver {
  private readonly received: WebhookRecord[] = [];
  private readonly attempts = new Map<string, number>();
  private readonly answers = new ScriptBook<ReceivedWebhook, WebhookAnswer>();
  private readonly unread = new ScriptBook<ReceivedWebhook, UnreadWebhookAnswer>();
  private readonly secrets: string[];
  private server!: LocalHttpServer;

  private constructor(
    secrets: readonly string[],
    private readonly checker: SignatureChecker,
    /** The private authority to trust, in PEM; `undefined` without TLS. All receivers of a process have the same one. */
    readonly ca: string | undefined,
  ) {
    this.secrets = [...secrets];
  }

  /**
   * @throws BackendUnavailableError when TLS is asked for and `selfsigned` is not installed.
   * @throws OptionsInvalidError when the tolerance is longer than the reference library's.
   */
  static async start(options: WebhookReceiverOptions = {}): Promise<WebhookReceiver> {
    const { tls = false } = options;
    const ca = tls === false ? undefined : (await sharedAuthority()).cert;
    const receiver = new WebhookReceiver(options.secrets ?? [], await SignatureChecker.load(options.toleranceMs), ca);
    receiver.server = await LocalHttpServer.start((exchange) => receiver.handle(exchange), {
      port: options.port,
      certificate: tls === false ? undefined : await serverCertificate(tls === true ? undefined : tls),
    });
    return receiver;
  }

  /** Any path under it is received too. */
  get url(): string {
    return `${this.server.url}/`;
  }

  /** Every request in order of arrival, also those that were not answered. */
  get requests(): readonly ReceivedWebhook[] {
    return this.received;
  }

  /** The requests with this `webhook-id`: the attempts, in order of arrival. */
  attemptsOf(id: string): readonly ReceivedWebhook[] {
    return this.received.filter((request) => request.id === id);
  }

  /** The most requests that were open at one time, from their head to the end of their answer. */
  get maxConcurrentRequests(): number {
    return this.server.maxActiveRequests;
  }

  /** Requests that are open now. */
  get openRequests(): number {
    return this.server.activeRequests;
  }

  get openConnections(): number {
    return this.server.openConnections;
  }

  /** All that there ever were. */
  get acceptedConnections(): number {
    return this.server.acceptedConnections;
  }

  /** Answers for the requests to come; replaces those that were left. Without an answer: 204. See `Script`. */
  answer(script: Script<ReceivedWebhook, WebhookAnswer> | undefined): void {
    this.answers.set(script);
  }

  /** Answers for some requests only, before those of `answer`; only these are counted. Returns what takes them away again. */
  answerWhere(filter: WebhookFilter, script: Script<ReceivedWebhook, WebhookAnswer>): () => void {
    return this.answers.add((request) => isMeant(request, filter), script);
  }

  /** Answers for requests to come by their head alone: before their body is read, or in the middle of it. A request without such an answer is read. */
  answerUnread(script: Script<ReceivedWebhook, UnreadWebhookAnswer> | undefined): void {
    this.unread.set(script);
  }

  /** What the connections to come meet before TLS or HTTP; the script's function gets the connection's number. */
  greet(script: Script<number, ConnectionFault> | undefined): void {
    this.server.greet(script);
  }

  /** One more secret for the requests to come. */
  trust(secret: string): void {
    this.secrets.push(secret);
  }

  /**
   * Whether the signature is that of one of the secrets over these bytes. The timestamp may be five minutes from now.
   *
   * @throws BackendUnavailableError when `standardwebhooks` is not installed.
   */
  verify(request: ReceivedWebhook, secrets: string | readonly string[]): boolean {
    return this.verification(request, secrets).isVerified;
  }

  /** Likewise, with the reason. */
  verification(request: ReceivedWebhook, secrets: string | readonly string[]): Verification {
    return this.checker.check(request, typeof secrets === 'string' ? [secrets] : secrets);
  }

  /** Forgets the requests that came so far; attempts begin at 1 again. */
  forget(): void {
    this.received.length = 0;
    this.attempts.clear();
  }

  /** Ends all connections, also those of requests that were never answered. May be called twice. */
  stop(): Promise<void> {
    return this.server.stop();
  }

  private async handle(exchange: Exchange): Promise<void> {
    const record = recordOf(exchange, systemClock.now());
    if (record.id !== undefined) {
      record.attempt = (this.attempts.get(record.id) ?? 0) + 1;
      this.attempts.set(record.id, record.attempt);
    }
    const early = this.unread.next(record);
    await this.read(exchange, record, early);
    this.received.push(record);
    await this.respond(exchange, record, early ?? this.answers.next(record) ?? {});
  }

  private async read(exchange: Exchange, record: WebhookRecord, early: UnreadWebhookAnswer | undefined): Promise<void> {
    await exchange.readBody(early === undefined ? Infinity : (early.afterBytes ?? 0));
    record.body = exchange.received;
    record.isWhole = exchange.isWhole;
    record.receivedAt = systemClock.now();
    if (record.isWhole && this.secrets.length > 0) record.verification = this.checker.check(record, this.secrets);
  }

  private async respond(exchange: Exchange, record: WebhookRecord, step: WebhookAnswer): Promise<void> {
    if (step.delayMs !== undefined) await exchange.pause(step.delayMs);
    if (step.instead === 'never') return;
    if (step.instead === 'reset') return exchange.reset();
    if (step.instead === 'close') return exchange.hangUp();
    const answer = answerOf(step);
    record.status = answer.status;
    const wire = new Wire(exchange, (bytes) => (record.sentBytes = bytes));
    try {
      await (step.wire === undefined ? wire.whole(answer) : sendFaulty(wire, answer, step.wire));
    } finally {
      record.answeredAt = systemClock.now();
    }
  }
}

function isMeant(request: ReceivedWebhook, { path, id, matches }: WebhookFilter): boolean {
  if (path !== undefined && request.path !== path && request.path.split('?')[0] !== path) return false;
  if (id !== undefined && request.id !== id) return false;
  return matches?.(request) ?? true;
}
