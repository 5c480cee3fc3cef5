import { waitFor } from '../../waiting/wait-for.js';
import type { LocalClusterNode } from './cluster-node.js';
import { parseClusterNodes } from './cluster-view.js';
import { SLOT_COUNT } from './slots.js';

const MEETING_TIMEOUT_MS = 15_000;

/**
 * Makes one cluster of empty nodes, with commands that every version since 6.2 knows. The first `masters` nodes share the slots evenly; the others
 * become their replicas in turn. When it returns, the cluster is formed and not yet settled.
 */
export async function formCluster(nodes: readonly LocalClusterNode[], masters: number): Promise<void> {
  const owners = nodes.slice(0, masters);
  await Promise.all(
    nodes.map(async (node, index) => {
      node.id = String(await node.command('CLUSTER', 'MYID'));
      // Different from the start: equal epochs would have to be told apart by collisions first, which takes seconds.
      await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    }),
  );
  await Promise.all(owners.map((node, index) => node.command('CLUSTER', 'ADDSLOTS', ...share(index, masters))));
  // Everybody with everybody: waiting for gossip to introduce them would take another second.
  await Promise.all(
    nodes.map((node, index) =>
      node.ask((connection) =>
        Promise.all(nodes.slice(index + 1).map(({ host, port }) => connection.cluster('MEET', host, port))),
      ),
    ),
  );
  await waitFor(async () => (await Promise.all(nodes.map((node) => hasMet(node, nodes)))).every(Boolean), {
    timeoutMs: MEETING_TIMEOUT_MS,
    description: 'the nodes of the new cluster know each other',
  });
  await Promise.all(
    nodes.slice(masters).map(async (node, index) => {
      node.role = 'replica';
      await node.command('CLUSTER', 'REPLICATE', owners[index % masters]?.id ?? '');
    }),
  );
}

function share(index: number, masters: number): readonly number[] {
  const [from, to] = [index, index + 1].map((one) => Math.floor((one * SLOT_COUNT) / masters)) as [number, number];
  return Array.from({ length: to - from }, (_, offset) => from + offset);
}

async function hasMet(node: LocalClusterNode, all: readonly LocalClusterNode[]): Promise<boolean> {
  const entries = parseClusterNodes(String(await node.command('CLUSTER', 'NODES')));
  return all.every(({ id }) => entries.some((one) => one.id === id && !one.flags.includes('handshake')));
}
