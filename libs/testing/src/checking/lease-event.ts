/** A moment as an observer knows it: it happened not before `from` and not after `to`, milliseconds of one clock for all observers. */
export interface Moment {
  /** Taken before the command was sent. */
  readonly from: number;
  /** Taken after its answer was there. */
  readonly to: number;
}

interface Held extends Moment {
  /** What is owned by one at a time: a data stream, a row, an endpoint. */
  readonly line: string;
  /** A process, a worker, a connection. */
  readonly owner: string;
  /** The token that only grows: a whole number below 2^53. */
  readonly fence: number;
}

/** One thing that an owner of a lease, or the one who breaks things, has seen. Plain data: a child process prints it as a line of JSON. */
export type LeaseEvent =
  /** The server granted it. From `to` on this is the owner for certain, until `from + leaseMs`. */
  | (Held & { readonly what: 'acquired'; readonly leaseMs: number })
  /** The server prolonged it, to `from + leaseMs`. With `leaseMs: 0`: the owner asked, and was told that it still is. */
  | (Held & { readonly what: 'renewed'; readonly leaseMs: number })
  /** The owner asked for a higher fence and got it; what follows names that one. */
  | (Held & { readonly what: 'raised'; readonly raisedTo: number })
  /** The owner was told, or concluded, that it is no longer. */
  | (Held & { readonly what: 'lost' })
  /** The server accepted the owner's last word: `isSettled` when the work is over by it, not when it was only handed back. */
  | (Held & { readonly what: 'ended'; readonly isSettled: boolean })
  /** The owner was killed, and with it everything that it held. */
  | (Moment & { readonly what: 'gone'; readonly owner: string })
  /** The server of the lines changed its mind about who it is: a promotion, a restart from disk, a lost counter. Without `line`: for all lines. */
  | (Moment & { readonly what: 'failover'; readonly line?: string });
