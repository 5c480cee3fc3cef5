import type { Socket } from 'node:net';

/** What a connection of ours meets before HTTP (or TLS) begins on it. Everything else about it is as ever. */
export type ConnectionFault =
  /** Accepted and never read from, as by a stopped process: the client's bytes stay in the kernels, and a long request cannot be sent. */
  | { readonly kind: 'unread' }
  /** Read and never answered: a TLS handshake that hangs, or a server that is stuck. */
  | { readonly kind: 'silent' }
  /** Dropped with a reset: at once, or once the client has sent its first bytes (with TLS: in the middle of the handshake). */
  | { readonly kind: 'reset'; readonly when: 'accepted' | 'first-bytes' }
  /** Closed in the ordinary way without a word, likewise. */
  | { readonly kind: 'close'; readonly when: 'accepted' | 'first-bytes' }
  /** Answers the client's first bytes with these, and closes: no TLS, no HTTP. */
  | { readonly kind: 'garbage'; readonly bytes: string | Buffer }
  /** Speaks HTTP without TLS, on a server with TLS. */
  | { readonly kind: 'plain' };

/** A TCP connection that was accepted. `socket` is the raw one, under TLS where there is TLS. */
export class Connection {
  requests = 0;

  constructor(
    /** From 1, in the order of acceptance. */
    readonly number: number,
    readonly socket: Socket,
  ) {}

  reset(): void {
    this.socket.resetAndDestroy();
  }
}

/** The connections of a server: numbered, found by their remote port, and all ended together. */
export class Connections {
  private readonly open = new Map<number, Connection>();
  private accepted = 0;

  get openCount(): number {
    return this.open.size;
  }

  get acceptedCount(): number {
    return this.accepted;
  }

  add(socket: Socket): Connection {
    const connection = new Connection(++this.accepted, socket);
    const port = socket.remotePort ?? -connection.number;
    this.open.set(port, connection);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (this.open.get(port) === connection) this.open.delete(port);
    });
    return connection;
  }

  /** `socket` may be the TLS one: it has the remote port of the raw one. */
  of(socket: Socket): Connection | undefined {
    return socket.remotePort === undefined ? undefined : this.open.get(socket.remotePort);
  }

  destroyAll(): void {
    for (const { socket } of this.open.values()) socket.destroy();
  }
}

/** Carries a fault out; only `plain` is not one that ends here. */
export function spoil(connection: Connection, fault: Exclude<ConnectionFault, { readonly kind: 'plain' }>): void {
  const { socket } = connection;
  switch (fault.kind) {
    case 'unread':
      return;
    case 'silent':
      socket.resume();
      return;
    case 'reset':
      return when(socket, fault.when, () => connection.reset());
    case 'close':
      return when(socket, fault.when, () => socket.destroySoon());
    case 'garbage':
      return when(socket, 'first-bytes', () => socket.end(fault.bytes));
  }
}

function when(socket: Socket, moment: 'accepted' | 'first-bytes', act: () => void): void {
  if (moment === 'accepted') return act();
  socket.once('data', act);
  socket.resume();
}
