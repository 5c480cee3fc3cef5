import {
  type CanActivate,
  type ExecutionContext,
  HttpException,
  HttpStatus,
  Inject,
  type InjectionToken,
  Logger,
  mixin,
  type OnModuleInit,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type BatonError, type Duration, OptionsCheck, OptionsInvalidError } from '@nest-baton/core';
import { RawBodyMissingError, type WebhookUnverifiedError } from '../webhook-outbox.errors.js';
import { DEFAULT_TOLERANCE, readSecrets, type VerifiedWebhook, verifyWebhook } from './verify-webhook.js';

/** What a request of Express or Fastify has that the guard or a source of secrets may want. */
export interface IncomingWebhook {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Of the route. */
  readonly params?: unknown;
  readonly url?: string;
  readonly rawBody?: Uint8Array;
  /** Set by the guard. */
  readonly webhook?: VerifiedWebhook;
}

/** `whsec_...` or `whpk_...`, one or several; or a function that gives them for each request, which may look them up by a parameter of the route. */
export type WebhookSecrets =
  | string
  | readonly string[]
  | ((request: IncomingWebhook) => string | readonly string[] | Promise<string | readonly string[]>);

export interface VerifyWebhookOptions {
  /** Any of them may have signed. Either this or `secretsFrom`. */
  readonly secrets?: WebhookSecrets;
  /** Token of a provider that is `WebhookSecrets`, looked up once, in the module of the controller or in any other. */
  readonly secretsFrom?: InjectionToken;
  /**
   * How far the timestamp may be from now, either way. Too small refuses requests of senders whose clock is off, too large lets a request that
   * was overheard be replayed for longer. Default 5 min, as in the reference libraries.
   */
  readonly tolerance?: Duration;
}

interface ResolvedVerifyWebhookOptions {
  readonly secrets: WebhookSecrets | undefined;
  readonly secretsFrom: InjectionToken | undefined;
  readonly toleranceMs: number;
}

/** One of these stands for the reasons of a refusal that the sender could mend by another header. */
const MALFORMED: readonly WebhookUnverifiedError['reason'][] = ['missing-header', 'malformed-header'];

/**
 * Lets a request of Standard Webhooks through only when it is signed with one of the secrets; for a handler or a controller.
 *
 * - Needs the bytes as they came: `NestFactory.create(AppModule, { rawBody: true })`. Without them nothing gets through, and each request is
 *   answered 500 and logged with the remedy, so that senders try again later.
 * - A missing or malformed header is answered 400, a signature or timestamp that is refused 401, with `code` and `reason`.
 * - Within the tolerance a request can be replayed, and a sender repeats what it got no answer to: `request.webhook.id` tells.
 *
 * @throws OptionsInvalidError at once for options that are wrong; at the start for secrets of a provider that are.
 */
export function VerifyWebhook(options: VerifyWebhookOptions): ClassDecorator & MethodDecorator {
  return UseGuards(guardFor(resolveVerifyWebhookOptions(options)));
}

function guardFor(options: ResolvedVerifyWebhookOptions): Type<CanActivate> {
  class WebhookGuard implements CanActivate, OnModuleInit {
    private readonly logger = new Logger('VerifyWebhook');
    private secrets: WebhookSecrets | undefined = options.secrets;

    constructor(@Inject(ModuleRef) private readonly modules: ModuleRef) {}

    onModuleInit(): void {
      if (options.secretsFrom === undefined) return;
      const secrets: unknown = this.modules.get(options.secretsFrom, { strict: false });
      if (typeof secrets !== 'function') readSecrets(secrets);
      this.secrets = secrets as WebhookSecrets;
    }

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const request = context.switchToHttp().getRequest<IncomingWebhook & { webhook?: VerifiedWebhook }>();
      try {
        const body = rawBodyOf(request);
        const secrets = typeof this.secrets === 'function' ? await this.secrets(request) : (this.secrets ?? []);
        const { headers } = request;
        request.webhook = verifyWebhook({ headers, body, secrets, tolerance: options.toleranceMs });
        return true;
      } catch (error) {
        throw this.answerTo(error);
      }
    }

    /** What is wrong here is for the log, and what is wrong with the request for its sender. */
    private answerTo(error: unknown): unknown {
      const { code } = error as Partial<BatonError>;
      if (code === 'WEBHOOK_UNVERIFIED') {
        const { message, reason } = error as WebhookUnverifiedError;
        const status = MALFORMED.includes(reason) ? HttpStatus.BAD_REQUEST : HttpStatus.UNAUTHORIZED;
        return new HttpException({ statusCode: status, code, reason, message }, status, { cause: error });
      }
      if (code !== 'RAW_BODY_MISSING' && code !== 'OPTIONS_INVALID') return error;
      this.logger.error((error as BatonError).message, { code });
      const status = HttpStatus.INTERNAL_SERVER_ERROR;
      return new HttpException({ statusCode: status, code, message: 'This receiver is not set up.' }, status, {
        cause: error,
      });
    }
  }
  return mixin(WebhookGuard);
}

/** A request without a body is not parsed, and has no raw body either. */
function rawBodyOf({ rawBody, headers }: IncomingWebhook): Uint8Array {
  if (rawBody !== undefined) return rawBody;
  if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0') return new Uint8Array();
  throw new RawBodyMissingError(
    "The request's bytes are not there, and a signature is over them: create the application with { rawBody: true }, and let " +
      'a body parser take its content type.',
  );
}

function resolveVerifyWebhookOptions(options: VerifyWebhookOptions): ResolvedVerifyWebhookOptions {
  const check = new OptionsCheck<VerifyWebhookOptions>('VerifyWebhook', options, [
    'secrets',
    'secretsFrom',
    'tolerance',
  ]);
  const { secrets, secretsFrom } = (options as VerifyWebhookOptions | undefined) ?? {};
  check.rule((secrets === undefined) !== (secretsFrom === undefined), 'either secrets or secretsFrom is required');
  const toleranceMs = check.duration('tolerance', DEFAULT_TOLERANCE, { max: 24 * 3_600_000 });
  if (secrets !== undefined && typeof secrets !== 'function')
    try {
      readSecrets(secrets);
    } catch (error) {
      for (const problem of (error as OptionsInvalidError).problems) check.problem(problem);
    }
  check.finish();
  return Object.freeze({ secrets, secretsFrom, toleranceMs });
}
