/** What a process knows of the servers behind an instance. */
export interface TopologyReport {
  readonly topology: 'single' | 'cluster';
  /** Masters that own slots; 1 on a single node. */
  readonly masters: number;
  /** Those that answered when they were last asked. */
  readonly answering: number;
  /** Those whose expiry events arrive here. */
  readonly subscribed: number;
  /** All nodes that answer say that the cluster is ok, and agree who owns which slots. */
  readonly isSettled: boolean;
  /** Why not; empty otherwise. */
  readonly reason: string;
}

/** There is nothing to agree on. Pure. */
export function singleReport(isSubscribed: boolean): TopologyReport {
  return {
    topology: 'single',
    masters: 1,
    answering: 1,
    subscribed: Number(isSubscribed),
    isSettled: true,
    reason: '',
  };
}
