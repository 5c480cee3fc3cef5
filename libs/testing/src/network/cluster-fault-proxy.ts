import { FaultProxy, type FaultProxyOptions } from './fault-proxy.js';

/** Where a node listens, or how to come to it. */
export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * One `FaultProxy` before each node of a cluster, and the map with which a client stays behind them: nodes name each other by their own addresses, in
 * redirections and in the table of slots, and a client without the map goes around.
 *
 *     const path = await ClusterFaultProxy.start(cluster);
 *     const redis = new Cluster(path.nodes, { natMap: path.natMap });
 *
 * What the nodes say to each other does not come through here.
 */
export class ClusterFaultProxy {
  private constructor(private readonly byAddress: ReadonlyMap<string, FaultProxy>) {}

  static async start(
    cluster: { readonly nodes: readonly NodeAddress[] },
    options: Pick<FaultProxyOptions, 'watch'> = {},
  ): Promise<ClusterFaultProxy> {
    const byAddress = new Map<string, FaultProxy>();
    const paths = new ClusterFaultProxy(byAddress);
    try {
      for (const { host, port } of cluster.nodes)
        byAddress.set(`${host}:${port}`, await FaultProxy.start({ ...options, target: { host, port } }));
      return paths;
    } catch (error) {
      await paths.stop();
      throw error;
    }
  }

  /** In the order of the cluster's nodes. */
  get proxies(): readonly FaultProxy[] {
    return [...this.byAddress.values()];
  }

  /** What a client is given to start with. */
  get nodes(): readonly NodeAddress[] {
    return this.proxies.map(({ host, port }) => ({ host, port }));
  }

  /** As ioredis' option `natMap` wants it: `{ '127.0.0.1:7000': { host, port } }`. */
  get natMap(): Readonly<Record<string, NodeAddress>> {
    return Object.fromEntries([...this.byAddress].map(([address, { host, port }]) => [address, { host, port }]));
  }

  /** The path to one node. @throws RangeError for a node of another cluster. */
  proxyOf({ host, port }: NodeAddress): FaultProxy {
    const proxy = this.byAddress.get(`${host}:${port}`);
    if (proxy === undefined) throw new RangeError(`No path leads to ${host}:${port}.`);
    return proxy;
  }

  async heal(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.heal()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
  }
}
