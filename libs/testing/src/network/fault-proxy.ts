import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../processes/free-port.js';
import {
  type ByteCounts,
  type ConnectionObserver,
  type CutOptions,
  FaultConnection,
  type Faults,
  type TruncateOptions,
} from './fault-connection.js';
import { resetSocket, whenClosed } from './lane.js';
import {
  checkedCount,
  checkedMs,
  checkedRate,
  type Direction,
  directions,
  type LaneFaults,
  NO_FAULTS,
} from './lane-faults.js';

export interface FaultProxyOptions {
  /** A server's URL, or where it listens. */
  readonly target: string | { readonly host: string; readonly port: number };
  /** Where to listen, on 127.0.0.1. Default: a port that no other call gets. */
  readonly port?: number;
  /**
   * Sees each piece before it passes, and may set faults that hold for this piece already: `LISTEN` came by, now the path goes dead. Pieces are as
   * the network cuts them: a word may come in two.
   */
  readonly watch?: (piece: ProxiedPiece) => void;
}

export interface ProxiedPiece {
  readonly bytes: Buffer;
  readonly direction: Direction;
  readonly connection: FaultConnection;
}

export interface BlackHoleOptions {
  readonly direction?: Direction | 'both';
  /**
   * What becomes of clients that connect meanwhile. `hang`: taken and never answered, the server does not learn of them. `refuse`: ECONNREFUSED.
   * `connect`: connected through, and then swallowed like the others. Default `hang`.
   */
  readonly newConnections?: 'hang' | 'refuse' | 'connect';
}

export interface ProxyCounts {
  /** Connections taken since the start; refused ones never arrive and cannot be counted. */
  readonly accepted: number;
  /** Clients' connections that are open now. */
  readonly open: number;
  /** Bytes given on. */
  readonly passed: ByteCounts;
  readonly swallowed: ByteCounts;
}

const HOST = '127.0.0.1';
const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'postgres:': 5432,
  'postgresql:': 5432,
  'redis:': 6379,
  'rediss:': 6379,
  'http:': 80,
  'https:': 443,
};

/**
 * A TCP path to a server that fails as told: for all its connections, those to come included, or for one of `connections`.
 *
 * - Without a fault it passes bytes, half-closes and resets on as they are, and a slow receiver slows its sender.
 * - A server that cannot be reached is a reset to the client: the path itself was there.
 * - Faults add up (delay and throttle), `heal()` ends all of them.
 */
export class FaultProxy implements Faults {
  readonly host = HOST;
  private listener: Server | undefined;
  /** What was last asked for: an answer to an older wish, to listen, may come later. */
  private isRefusing = false;
  private listening: Promise<void> | undefined;
  private isStopped = false;
  private isHanging = false;
  private faults: Record<Direction, LaneFaults> = { toServer: NO_FAULTS, toClient: NO_FAULTS };
  private readonly open = new Set<FaultConnection>();
  private readonly hanging = new Set<Socket>();
  private accepted = 0;
  private readonly bytes = { passed: { toServer: 0, toClient: 0 }, swallowed: { toServer: 0, toClient: 0 } };

  private constructor(
    private readonly target: { readonly host: string; readonly port: number },
    readonly port: number,
    /** The target's URL, through the proxy. */
    readonly url: string,
    private readonly watch: ((piece: ProxiedPiece) => void) | undefined,
  ) {}

  /** @throws RangeError when the target names no host and port: every client would be reset, and no fault be to blame. */
  static async start({ target, port, watch }: FaultProxyOptions): Promise<FaultProxy> {
    const url = new URL(typeof target === 'string' ? target : `tcp://${target.host}:${target.port}`);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const targetPort = url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? 0) : Number(url.port);
    if (host === '' || targetPort === 0)
      throw new RangeError('The target of a FaultProxy is a URL with a host and a port, or { host, port }.');
    const own = port ?? (await freePort());
    url.hostname = HOST;
    url.port = String(own);
    const proxy = new FaultProxy({ host, port: targetPort }, own, url.href, watch);
    await proxy.listen();
    return proxy;
  }

  /** Those of which one side at least is open, oldest first; hanging ones are not among them. */
  get connections(): readonly FaultConnection[] {
    return [...this.open];
  }

  get counts(): ProxyCounts {
    const open = this.connections.filter(({ isClientOpen }) => isClientOpen).length;
    const hanging = [...this.hanging].filter(({ readableEnded }) => !readableEnded).length;
    const { passed, swallowed } = this.bytes;
    return {
      accepted: this.accepted,
      open: open + hanging,
      passed: { ...passed },
      swallowed: { ...swallowed },
    };
  }

  cut(options?: CutOptions): void {
    for (const connection of this.open) connection.cut(options);
    for (const socket of this.hanging) resetSocket(socket);
  }

  blackHole(options: Direction | 'both' | BlackHoleOptions = {}): void {
    const { direction = 'both', newConnections = 'hang' } =
      typeof options === 'string' ? { direction: options } : options;
    this.set({ path: 'blackHole' }, direction);
    this.isHanging = newConnections === 'hang';
    if (newConnections === 'refuse') this.refuse();
  }

  stall(direction: Direction | 'both' = 'both'): void {
    this.set({ path: 'stalled' }, direction);
  }

  delay(ms: number, direction: Direction | 'both' = 'both'): void {
    this.set({ delayMs: checkedMs(ms) }, direction);
  }

  throttle(bytesPerSecond: number, direction: Direction | 'both' = 'both'): void {
    this.set({ bytesPerSecond: checkedRate(bytesPerSecond) }, direction);
  }

  truncate(afterBytes: number, { direction = 'toClient', kind = 'end' }: TruncateOptions = {}): void {
    this.set({ bytesLeft: checkedCount(afterBytes), cutKind: kind }, direction);
  }

  /** New connections get ECONNREFUSED; open ones go on. */
  refuse(): void {
    this.isRefusing = true;
    this.listener?.close();
    this.listener = undefined;
  }

  /** No fault any more, for any connection: also those that were set on one alone. What lost bytes is reset. Resolves when new ones are taken. */
  async heal(): Promise<void> {
    this.faults = { toServer: NO_FAULTS, toClient: NO_FAULTS };
    this.isHanging = false;
    for (const connection of this.open) connection.heal();
    for (const socket of this.hanging) resetSocket(socket);
    await this.listen();
  }

  /** Resets all connections; resolves when no socket is left. May be called twice. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.refuse();
    const closed = [...this.hanging].map(whenClosed);
    for (const socket of this.hanging) resetSocket(socket);
    await Promise.all([...closed, ...this.connections.map((connection) => connection.destroy())]);
  }

  private set(faults: Partial<LaneFaults>, which: Direction | 'both'): void {
    for (const direction of directions(which)) {
      this.faults[direction] = { ...this.faults[direction], ...faults };
      for (const connection of this.open) connection.apply(faults, direction);
    }
  }

  private async listen(): Promise<void> {
    this.isRefusing = this.isStopped;
    // One after the other: a second listener on the port would be refused.
    await this.listening?.catch(() => undefined);
    if (this.isRefusing || this.listener !== undefined) return;
    this.listening ??= this.bind().finally(() => (this.listening = undefined));
    await this.listening;
  }

  private async bind(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.accept(client));
    server.listen(this.port, HOST);
    await once(server, 'listening');
    if (this.isRefusing) server.close();
    else this.listener = server;
  }

  private accept(client: Socket): void {
    this.accepted++;
    if (this.isStopped) resetSocket(client);
    else if (this.isHanging) this.hang(client);
    else this.relay(client);
  }

  private hang(client: Socket): void {
    this.hanging.add(client);
    client.on('error', () => undefined);
    client.on('data', (bytes) => void (this.bytes.swallowed.toServer += bytes.length));
    client.on('close', () => this.hanging.delete(client));
  }

  private relay(client: Socket): void {
    const server = connect({ ...this.target, allowHalfOpen: true, noDelay: true });
    const observer: ConnectionObserver = {
      arrived: (connection, direction, bytes) => this.watch?.({ bytes, direction, connection }),
      counted: (what, direction, count) => void (this.bytes[what][direction] += count),
    };
    const connection = new FaultConnection(client, server, this.faults, observer);
    this.open.add(connection);
    for (const socket of [client, server])
      socket.on('close', () => {
        if (connection.isOver) this.open.delete(connection);
      });
  }
}
