import { describeError, errorCode } from '@nest-baton/core';
import {
  All,
  type CanActivate,
  Controller,
  Inject,
  Logger,
  type OnModuleInit,
  Req,
  Res,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { ServerResponse } from 'node:http';
import { DurableStreams } from './durable-streams.js';
import type { ResolvedDurableStreamsOptions } from './durable-streams.options.js';
import { isProtocolRefusal, statusOf } from './protocol/protocol-refusal.js';
import { Access } from './serving/access.js';
import type { Answer, ProtocolRequest } from './serving/answer.js';
import { checkIsExpress } from './express-only.js';
import { bodyOf, type ParsedRequest } from './serving/request-body.js';

/** The resolved options, with whether guards stand before the controller. */
export const DURABLE_STREAMS_SETTINGS = 'baton:pg-stream:durable-streams-settings';

export interface DurableStreamsSettings {
  readonly options: ResolvedDurableStreamsOptions;
  readonly hasGuards: boolean;
}

type ExpressRequest = ParsedRequest & {
  readonly originalUrl: string;
  readonly protocol: string;
  readonly params: { readonly stream: readonly string[] | string };
};

const NOTHING = new Uint8Array();

/** Nobody waits for the answer. */
const CLIENT_LEFT = Symbol('client left');

/**
 * The Durable Streams protocol at `/<path>/<stream>`, on Express. Registered by `DurableStreamsModule` only.
 *
 * - Refuses every request while the server can be reached from elsewhere and there are neither guards nor a token nor `authorize`.
 * - `authorize` is asked before anything of a stream is read, for both streams of a fork.
 */
@Controller()
export class DurableStreamsController implements OnModuleInit {
  private readonly logger = new Logger('DurableStreams');
  private readonly access: Access;

  constructor(
    @Inject(DurableStreams) private readonly streams: DurableStreams,
    @Inject(DURABLE_STREAMS_SETTINGS) private readonly settings: DurableStreamsSettings,
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
  ) {
    const { options, hasGuards } = settings;
    this.access = new Access({ ...options, hasGuards });
  }

  /** @throws OptionsInvalidError on another adapter than Express. */
  onModuleInit(): void {
    checkIsExpress(this.host.httpAdapter as unknown);
  }

  @All('*stream')
  async handle(@Req() request: ExpressRequest, @Res() response: ServerResponse): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    // Whoever writes a stream chooses its content type: as a page of this origin it may do nothing.
    response.setHeader('content-security-policy', "default-src 'none'; sandbox");
    response.setHeader('cross-origin-resource-policy', this.settings.options.resourcePolicy);
    const left = new AbortController();
    const leave = (): void => left.abort(CLIENT_LEFT);
    response.on('close', leave);
    response.on('error', leave);
    try {
      await this.serve(request, response, left.signal);
    } catch (error) {
      this.refuse(response, error);
    } finally {
      response.off('close', leave);
    }
  }

  private async serve(request: ExpressRequest, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const address = (this.host.httpAdapter.getHttpServer() as { address?: () => unknown }).address?.();
    this.access.checkRequest(request, address);
    const asked = requestOf(request, signal);
    await this.access.checkStream(asked.stream, request);
    const source = request.headers['stream-forked-from'];
    const sourceStream = typeof source === 'string' ? asked.streamOf(source) : undefined;
    if (sourceStream !== undefined) await this.access.checkStream(sourceStream, request);
    if (request.method === 'GET' && asked.query.get('live') === 'sse')
      return this.streams.follow(response, { ...asked, body: NOTHING });
    const hasBody = request.method === 'PUT' || request.method === 'POST';
    const body = hasBody ? await bodyOf(request, this.settings.options.maxBodyBytes) : NOTHING;
    send(response, await this.streams.answer(request.method ?? '', { ...asked, body }));
  }

  private refuse(response: ServerResponse, error: unknown): void {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const code = errorCode(error);
    if (isProtocolRefusal(error)) {
      if (error.status >= 500 || error.code === 'UNGUARDED') this.logger.error(error.message);
      return send(response, refusal(error.status, error.code, error.message, error.headers));
    }
    const status = httpStatusOf(error) ?? statusOf(code);
    if (status >= 500)
      this.logger.error('a request of the Durable Streams protocol failed', { code, error: describeError(error) });
    const message = status === 500 ? 'the request failed' : describeError(error);
    send(
      response,
      refusal(
        status,
        code ?? (status === 500 ? 'INTERNAL' : 'REFUSED'),
        message,
        status === 503 ? { 'retry-after': '1' } : {},
      ),
    );
  }
}

/** The controller below a path and behind guards, as a class of its own, since both are known of a class only. */
export function controllerAt(path: string, guards: readonly Type<CanActivate>[]): Type<DurableStreamsController> {
  class MountedDurableStreamsController extends DurableStreamsController {}
  Controller(path)(MountedDurableStreamsController);
  if (guards.length > 0) UseGuards(...guards)(MountedDurableStreamsController);
  return MountedDurableStreamsController;
}

function send(response: ServerResponse, { status, headers, body, isLast = false }: Answer): void {
  if (response.destroyed) return;
  const isHead = response.req.method === 'HEAD';
  if (isLast && response.req.httpVersionMajor === 1) response.setHeader('connection', 'close');
  response.writeHead(status, {
    ...headers,
    // Of a GET it would be another one, which nobody knows without reading.
    ...(status !== 204 && status !== 304 && !isHead && { 'content-length': Buffer.byteLength(body ?? '') }),
  });
  response.end(body);
}

function refusal(status: number, code: string, message: string, headers: Readonly<Record<string, string>>): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify({ code, message }),
  };
}

/** Of an exception of Nest, which `authorize` may throw. Pure. */
function httpStatusOf(error: unknown): number | undefined {
  const { getStatus } = (error ?? {}) as { readonly getStatus?: () => number };
  return typeof getStatus === 'function' ? getStatus.call(error) : undefined;
}

/** All but the body, which is not read before the request may ask. Pure. */
function requestOf(request: ExpressRequest, signal: AbortSignal): Omit<ProtocolRequest, 'body'> {
  const [path = '', ...rest] = request.originalUrl.split('?');
  const { stream } = request.params;
  const segments = typeof stream === 'string' ? [stream] : stream;
  const prefix = path.split('/').slice(0, -segments.length).join('/');
  return {
    stream: segments.join('/'),
    url: `${request.protocol}://${request.headers.host ?? 'localhost'}${path}`,
    streamOf: (other) => streamBelow(prefix, other),
    headers: request.headers,
    query: new URLSearchParams(rest.join('?')),
    signal,
  };
}

/** A path, and nothing else: what names another server is no stream of this one. Pure. */
function streamBelow(prefix: string, path: string): string | undefined {
  if (!path.startsWith(`${prefix}/`)) return undefined;
  try {
    return path
      .slice(prefix.length + 1)
      .split('/')
      .map((segment) => decodeURIComponent(segment))
      .join('/');
  } catch {
    return undefined;
  }
}
