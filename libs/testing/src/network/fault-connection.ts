import type { Socket } from 'node:net';
import { Lane, resetSocket, whenClosed } from './lane.js';
import {
  checkedCount,
  checkedMs,
  checkedRate,
  type CutKind,
  type Direction,
  directions,
  type LaneFaults,
} from './lane-faults.js';

export interface CutOptions {
  /** Default `reset`. */
  readonly kind?: CutKind;
  /**
   * Who is told: `toServer` only the server, `toClient` only the client. The other side keeps its connection; after a reset nothing reaches it and
   * what it sends is swallowed, after an end it may go on in its direction. Default `both`.
   */
  readonly direction?: Direction | 'both';
}

export interface TruncateOptions {
  /** Default `toClient`. */
  readonly direction?: Direction;
  /**
   * How both sides learn that it is over. With `reset` a slow receiver may get fewer bytes, as in reality; and Node shows a reset that comes together
   * with bytes as an end. Default `end`.
   */
  readonly kind?: CutKind;
}

/** What can be done to one connection of a `FaultProxy`, or to all of them, the coming ones included. */
export interface Faults {
  /** Ends what is open now; what waits in the proxy is lost. */
  cut(options?: CutOptions): void;
  /** Bytes and ends vanish, connections stay open and nobody is told. What lost something this way is reset by `heal()`: TCP has no holes. */
  blackHole(direction?: Direction | 'both'): void;
  /** Nothing passes, and nothing is lost: `heal()` delivers it all, late. The sender has to wait once the proxy holds 256 KiB. */
  stall(direction?: Direction | 'both'): void;
  /** Each byte passes so many milliseconds after it arrived; order is kept. */
  delay(ms: number, direction?: Direction | 'both'): void;
  /** At most so many bytes a second, each connection and direction for itself. */
  throttle(bytesPerSecond: number, direction?: Direction | 'both'): void;
  /** Exactly so many bytes pass from now on, of each connection, and then both its sides are cut off. */
  truncate(afterBytes: number, options?: TruncateOptions): void;
}

export type ByteCounts = Readonly<Record<Direction, number>>;

export interface ConnectionObserver {
  arrived(connection: FaultConnection, direction: Direction, bytes: Buffer): void;
  counted(what: 'passed' | 'swallowed', direction: Direction, count: number): void;
}

/** One client's connection through the proxy: two sockets and the lanes between them. */
export class FaultConnection implements Faults {
  private readonly lanes: Readonly<Record<Direction, Lane>>;
  private readonly bytes = { passed: { toServer: 0, toClient: 0 }, swallowed: { toServer: 0, toClient: 0 } };
  private isSevered = false;

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
    faults: Readonly<Record<Direction, LaneFaults>>,
    private readonly observer: ConnectionObserver,
  ) {
    for (const socket of [client, server]) socket.on('error', () => undefined);
    this.lanes = { toServer: this.lane('toServer'), toClient: this.lane('toClient') };
    for (const direction of directions('both')) this.lanes[direction].set(faults[direction]);
  }

  /** Until the client's end or reset has come to the proxy, which happens in a black hole as well. */
  get isClientOpen(): boolean {
    return !this.client.destroyed && !this.client.readableEnded;
  }

  get isServerOpen(): boolean {
    return !this.server.destroyed && !this.server.readableEnded;
  }

  /** Whether both sockets are gone. */
  get isOver(): boolean {
    return this.client.destroyed && this.server.destroyed;
  }

  /** Bytes that were given on. */
  get passed(): ByteCounts {
    return { ...this.bytes.passed };
  }

  get swallowed(): ByteCounts {
    return { ...this.bytes.swallowed };
  }

  cut({ kind = 'reset', direction = 'both' }: CutOptions = {}): void {
    const told = directions(direction);
    this.isSevered ||= kind === 'reset';
    // A one-sided end is a half-close, and the way back stays.
    for (const lane of kind === 'end' ? told : directions('both')) this.lanes[lane].close();
    for (const one of told) {
      const socket = one === 'toServer' ? this.server : this.client;
      if (kind === 'reset') resetSocket(socket);
      else socket.end();
    }
  }

  blackHole(direction: Direction | 'both' = 'both'): void {
    this.apply({ path: 'blackHole' }, direction);
  }

  stall(direction: Direction | 'both' = 'both'): void {
    this.apply({ path: 'stalled' }, direction);
  }

  delay(ms: number, direction: Direction | 'both' = 'both'): void {
    this.apply({ delayMs: checkedMs(ms) }, direction);
  }

  throttle(bytesPerSecond: number, direction: Direction | 'both' = 'both'): void {
    this.apply({ bytesPerSecond: checkedRate(bytesPerSecond) }, direction);
  }

  truncate(afterBytes: number, { direction = 'toClient', kind = 'end' }: TruncateOptions = {}): void {
    this.apply({ bytesLeft: checkedCount(afterBytes), cutKind: kind }, direction);
  }

  /** What the methods above come down to, and what the proxy sets for all its connections. */
  apply(faults: Partial<LaneFaults>, direction: Direction | 'both'): void {
    for (const one of directions(direction)) this.lanes[one].set(faults);
  }

  /** No fault any more. A connection that lost bytes, or of which one side was reset, is reset on both sides. */
  heal(): void {
    const lanes = Object.values(this.lanes);
    if (this.isSevered || lanes.some(({ isBroken }) => isBroken)) this.cut();
    else for (const lane of lanes) lane.heal();
  }

  /** Resets what is open, and resolves when both sockets are gone. */
  async destroy(): Promise<void> {
    const closed = [this.client, this.server].map(whenClosed);
    this.cut();
    await Promise.all(closed);
  }

  private lane(direction: Direction): Lane {
    const [source, sink] = direction === 'toServer' ? [this.client, this.server] : [this.server, this.client];
    const count = (what: 'passed' | 'swallowed', bytes: number) => {
      this.bytes[what][direction] += bytes;
      this.observer.counted(what, direction, bytes);
    };
    return new Lane(source, sink, {
      arrived: (bytes) => this.observer.arrived(this, direction, bytes),
      passed: (bytes) => count('passed', bytes),
      swallowed: (bytes) => count('swallowed', bytes),
      exhausted: (kind) => this.cut({ kind }),
    });
  }
}
