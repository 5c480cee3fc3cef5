/** One line of CLUSTER NODES: what a node believes about another, or about itself. */
export interface ClusterEntry {
  readonly id: string;
  /** As the cluster knows it, which need not be how we come to it. */
  readonly address: string;
  readonly isMyself: boolean;
  readonly isMaster: boolean;
  /** Taken for dead. */
  readonly isFailed: boolean;
  /** Higher is newer knowledge. */
  readonly epoch: number;
  /** Both ends included; slots that are being moved count for whoever owns them still. */
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** What one node answered. */
export interface ClusterView {
  readonly id: string;
  /** `cluster_state:ok`. */
  readonly isOk: boolean;
  readonly entries: readonly ClusterEntry[];
}

/** Pure. Lines that are none are left out. */
export function parseClusterNodes(text: string): readonly ClusterEntry[] {
  return text.split('\n').flatMap((line): ClusterEntry[] => {
    const [id, address = '', flagText = '', , , , epoch = '0', , ...slots] = line.trim().split(' ');
    if (id === undefined || id === '' || flagText === '') return [];
    const flags = flagText.split(',');
    return [
      {
        id,
        address: address.replace(/@.*$/, ''),
        isMyself: flags.includes('myself'),
        isMaster: flags.includes('master'),
        isFailed: flags.includes('fail'),
        epoch: Number(epoch),
        slots: slots.flatMap(parseRange),
      },
    ];
  });
}

/** `[93-<-id]` and `[93->-id]` tell of a move; the owner is still the one who lists the slot without brackets. */
function parseRange(text: string): (readonly [number, number])[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  return match === null ? [] : [[Number(match[1]), Number(match[2] ?? match[1])]];
}

/** A field of CLUSTER INFO, or of INFO; `undefined` when it is not there. Pure. */
export function clusterInfoField(text: string, field: string): string | undefined {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && line.slice(0, colon) === field) return line.slice(colon + 1).trim();
  }
  return undefined;
}

/** Pure. @throws Error when the node does not name itself. */
export function clusterView(nodes: string, info: string): ClusterView {
  const entries = parseClusterNodes(nodes);
  const own = entries.find(({ isMyself }) => isMyself);
  if (own === undefined) throw new Error('a node answered CLUSTER NODES without naming itself');
  return { id: own.id, isOk: clusterInfoField(info, 'cluster_state') === 'ok', entries };
}

/**
 * Who owns which slots, as one node sees it, in a form that is equal where that is equal: epochs, replicas, flags, addresses, moves under way, and
 * the order and cut of ranges say nothing about it. Pure.
 */
export function slotOwnership({ entries }: Pick<ClusterView, 'entries'>): string {
  return entries
    .filter(({ isMaster, slots }) => isMaster && slots.length > 0)
    .map(({ id, slots }) => `${id}:${joined(slots).join(',')}`)
    .sort()
    .join(' ');
}

function joined(slots: ClusterEntry['slots']): readonly string[] {
  const ranges: [number, number][] = [];
  for (const [first, last] of [...slots].sort(([a], [b]) => a - b)) {
    const before = ranges.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else ranges.push([first, last]);
  }
  return ranges.map(([first, last]) => `${first}-${last}`);
}

export type Settled =
  | { readonly isSettled: true; readonly ownership: string; readonly masters: readonly string[] }
  | { readonly isSettled: false; readonly reason: string };

/**
 * Whether all nodes that answered say `cluster_state:ok` and agree who owns which slots; nodes that did not answer are left out. Pure.
 *
 * @param views at least one: no answer at all is no answer to this question.
 */
export function evaluateSettled(views: readonly ClusterView[]): Settled {
  const failing = views.find(({ isOk }) => !isOk);
  if (failing !== undefined) return { isSettled: false, reason: `node ${failing.id} says that the cluster is not ok` };
  const [first, ...others] = views;
  if (first === undefined) return { isSettled: false, reason: 'no node answered' };
  const ownership = slotOwnership(first);
  const other = others.find((view) => slotOwnership(view) !== ownership);
  if (other !== undefined)
    return { isSettled: false, reason: `nodes ${first.id} and ${other.id} name different owners of slots` };
  const masters = ownersIn([first]);
  if (masters.length === 0) return { isSettled: false, reason: 'no slot has an owner' };
  return { isSettled: true, ownership, masters };
}

/** All masters that own slots, in anybody's view. Pure. */
export function ownersIn(views: readonly Pick<ClusterView, 'entries'>[]): readonly string[] {
  const owners = views.flatMap(({ entries }) => entries.filter(({ isMaster, slots }) => isMaster && slots.length > 0));
  return [...new Set(owners.map(({ id }) => id))].sort();
}

/** The owner that the newest knowledge names: after a failover the old master's claim lives on in old views, with a lower epoch. Pure. */
export function ownerOfSlot(views: readonly Pick<ClusterView, 'entries'>[], slot: number): string | undefined {
  let owner: ClusterEntry | undefined;
  for (const { entries } of views)
    for (const entry of entries)
      if (
        entry.isMaster &&
        entry.epoch > (owner?.epoch ?? -1) &&
        entry.slots.some(([first, last]) => first <= slot && slot <= last)
      )
        owner = entry;
  return owner?.id;
}
