import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { describeError, errorCode } from '@nest-baton/core';
import type { ServerCertificate } from './certificates.js';
import { type ConnectionFault, Connections, spoil } from './connections.js';
import { Exchange, PeerGoneError } from './exchange.js';
import { type Script, ScriptRunner } from './script.js';

/** Longer than any test, so that no connection is closed by chance in the middle of one. */
const KEEP_ALIVE_MS = 120_000;

export type ExchangeHandler = (exchange: Exchange) => Promise<void>;

export interface LocalHttpServerOptions {
  /** Default: a free one. */
  readonly port?: number | undefined;
  /** With it, HTTPS. */
  readonly certificate?: ServerCertificate | undefined;
}

/**
 * An HTTP or HTTPS server on 127.0.0.1 that hands requests over when their head was read, so that the handler decides whether the body is.
 *
 * - No timeout of its own ends a request or a connection.
 * - `stop()` ends requests that were never answered, and connections that never became requests.
 */
export class LocalHttpServer {
  private readonly connections = new Connections();
  private readonly greetings = new ScriptRunner<number, ConnectionFault>();
  private readonly plain: Server;
  private readonly spoken: Server;
  private readonly tcp: TcpServer;
  private boundPort = 0;
  private active = 0;
  private maxActive = 0;

  private constructor(
    private readonly handle: ExchangeHandler,
    private readonly certificate: ServerCertificate | undefined,
  ) {
    const listener = (request: IncomingMessage, response: ServerResponse): void => this.take(request, response);
    const settings = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0, headersTimeout: 0 };
    this.plain = createHttpServer(settings, listener);
    this.spoken = certificate === undefined ? this.plain : createHttpsServer({ ...settings, ...certificate }, listener);
    this.tcp = createTcpServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.accept(socket));
  }

  static async start(handle: ExchangeHandler, options: LocalHttpServerOptions = {}): Promise<LocalHttpServer> {
    const server = new LocalHttpServer(handle, options.certificate);
    server.tcp.listen(options.port ?? 0, '127.0.0.1');
    await once(server.tcp, 'listening');
    server.boundPort = (server.tcp.address() as AddressInfo).port;
    return server;
  }

  /** Without a slash at its end. Also after `stop()`. */
  get url(): string {
    return `${this.certificate === undefined ? 'http' : 'https'}://127.0.0.1:${this.boundPort}`;
  }

  /** Requests whose head was read and which are neither answered nor given up. */
  get activeRequests(): number {
    return this.active;
  }

  get maxActiveRequests(): number {
    return this.maxActive;
  }

  get openConnections(): number {
    return this.connections.openCount;
  }

  get acceptedConnections(): number {
    return this.connections.acceptedCount;
  }

  /** What the connections to come meet; the script's function gets the connection's number. */
  greet(script: Script<number, ConnectionFault> | undefined): void {
    this.greetings.set(script);
  }

  /** Returns when the port is free and no connection is left. May be called twice. */
  async stop(): Promise<void> {
    if (!this.tcp.listening) return;
    const closed = once(this.tcp, 'close');
    this.tcp.close();
    this.connections.destroyAll();
    await closed;
  }

  private accept(socket: Socket): void {
    const connection = this.connections.add(socket);
    const fault = this.greetings.next(connection.number);
    if (fault !== undefined && fault.kind !== 'plain') return spoil(connection, fault);
    (fault === undefined ? this.spoken : this.plain).emit('connection', socket);
    socket.resume();
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.connections.of(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    const exchange = new Exchange(request, response, connection, ++connection.requests);
    this.maxActive = Math.max(this.maxActive, ++this.active);
    exchange.signal.addEventListener('abort', () => this.active--, { once: true });
    this.handle(exchange).catch((error: unknown) => {
      if (!isPeerGone(error)) process.emitWarning(`A request could not be handled: ${describeError(error)}`);
      request.socket.destroy();
    });
  }
}

/** The client went away in the middle: nothing to report. */
function isPeerGone(error: unknown): boolean {
  return (
    error instanceof PeerGoneError ||
    ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(errorCode(error) ?? '')
  );
}
