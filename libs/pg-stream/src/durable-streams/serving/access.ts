import { timingSafeEqual, createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ProtocolRefusal } from '../protocol/protocol-refusal.js';
import type { AuthorizeStream } from '../durable-streams.options.js';

export interface AccessRules {
  readonly authorize: AuthorizeStream | undefined;
  readonly token: string | undefined;
  /** Guards of Nest stand before the controller. */
  readonly hasGuards: boolean;
}

/** Who may do what. Asked before anything of a stream is read or written. */
export class Access {
  constructor(private readonly rules: AccessRules) {}

  /** @throws ProtocolRefusal 403 when nobody stands guard and the server can be reached from elsewhere, 401 without the token. */
  checkRequest(request: IncomingMessage, listensAt: unknown): void {
    const { authorize, token, hasGuards } = this.rules;
    if (authorize === undefined && token === undefined && !hasGuards && !isLoopback(listensAt))
      throw new ProtocolRefusal(
        403,
        'UNGUARDED',
        'the Durable Streams controller is open to everybody who reaches this server, and refuses to be: give DurableStreamsModule guards, a token or authorize, or listen on a loopback address.',
      );
    if (token !== undefined && !isToken(request.headers.authorization, token))
      throw new ProtocolRefusal(401, 'UNAUTHORIZED', 'the request has no valid bearer token.', {
        'www-authenticate': 'Bearer',
      });
  }

  /** @throws ProtocolRefusal 403 */
  async checkStream(stream: string, request: IncomingMessage): Promise<void> {
    const { authorize } = this.rules;
    if (authorize !== undefined && (await authorize(stream, request)) !== true)
      throw new ProtocolRefusal(403, 'FORBIDDEN', `the request may not use the stream '${stream}'.`);
  }
}

/** What `server.address()` gives: the path of a local socket, or an address that only this machine reaches. Pure. */
export function isLoopback(listensAt: unknown): boolean {
  if (typeof listensAt === 'string') return true;
  const { address } = (listensAt ?? {}) as { readonly address?: unknown };
  return typeof address === 'string' && (/^(::ffff:)?127\./.test(address) || address === '::1');
}

/** Digests are compared, so that neither the length nor the place of a difference shows in the time it takes. */
function isToken(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
