import { SLOT_COUNT } from './slots.js';

/** One line of CLUSTER NODES: what one node believes about another, or about itself. */
export interface ClusterEntry {
  readonly id: string;
  readonly flags: readonly string[];
  readonly masterId: string | undefined;
  readonly epoch: number;
  readonly isLinked: boolean;
  /** Both ends included; slots that are being moved are left out. */
  readonly slots: readonly (readonly [number, number])[];
}

/** What one node answered. */
export interface ClusterView {
  readonly id: string;
  /** How the node is called in reports. */
  readonly name: string;
  /** `cluster_state:ok`. */
  readonly isOk: boolean;
  /** Whether a replica's link to its master is up; true for a master. */
  readonly isReplicating: boolean;
  readonly entries: readonly ClusterEntry[];
}

export function parseClusterNodes(text: string): readonly ClusterEntry[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [id = '', , flags = '', master = '-', , , epoch = '0', link = '', ...slots] = line.trim().split(' ');
      return {
        id,
        flags: flags.split(','),
        masterId: master === '-' ? undefined : master,
        epoch: Number(epoch),
        isLinked: link === 'connected',
        slots: slots.filter((one) => !one.startsWith('[')).map(parseRange),
      };
    });
}

function parseRange(text: string): readonly [number, number] {
  const [first = '', last = first] = text.split('-');
  return [Number(first), Number(last)];
}

/** The owner that the newest knowledge names; it may be dead. After a failover the old master's claim lives on in old views, with a lower epoch. */
export function ownerOfSlot(views: readonly ClusterView[], slot: number): string | undefined {
  let owner: ClusterEntry | undefined;
  for (const entry of views.flatMap(({ entries }) => entries)) {
    const isOwner = entry.slots.some(([first, last]) => first <= slot && slot <= last);
    if (isOwner && entry.epoch > (owner?.epoch ?? -1)) owner = entry;
  }
  return owner?.id;
}

/** A node by its own word, or else by the newest word of others. */
export function entryOf(views: readonly ClusterView[], id: string): ClusterEntry | undefined {
  const own = views.find((view) => view.id === id);
  const asked = own === undefined ? views : [own];
  return asked
    .flatMap(({ entries }) => entries.filter((entry) => entry.id === id))
    .reduce<ClusterEntry | undefined>((best, one) => (one.epoch > (best?.epoch ?? -1) ? one : best), undefined);
}

/** The replicas that name `masterId` as theirs, each by its own word. */
export function replicasOf(views: readonly ClusterView[], masterId: string): readonly string[] {
  return views.filter(({ id }) => entryOf(views, id)?.masterId === masterId).map(({ id }) => id);
}

/**
 * Why the cluster is not settled, or `undefined` when it is: every node that answered says `cluster_state:ok`, all of them name the same owner for
 * each slot and the same role for each other, every owner is among them, and every replica's link to such an owner is up.
 *
 * @param views of all nodes that can be reached; nodes that are down or frozen have none and need not agree.
 */
export function unsettledReason(views: readonly ClusterView[]): string | undefined {
  const [first] = views;
  if (first === undefined) return 'no node can be reached';
  for (const view of views) {
    const reason = strangerOf(view, views) ?? ownReason(view, views);
    if (reason !== undefined) return `${view.name} ${reason}`;
    if (ownersOf(view) !== ownersOf(first)) return `${view.name} and ${first.name} name different owners of slots`;
  }
  return undefined;
}

function ownReason(view: ClusterView, views: readonly ClusterView[]): string | undefined {
  if (!view.isOk) return 'says cluster_state:fail';
  const covered = view.entries.flatMap(({ slots }) => slots).reduce((sum, [from, to]) => sum + to - from + 1, 0);
  if (covered !== SLOT_COUNT) return `knows owners for ${covered} of ${SLOT_COUNT} slots`;
  const isReachable = (id: string | undefined) => views.some((other) => other.id === id);
  const gone = view.entries.find(({ id, slots }) => slots.length > 0 && !isReachable(id));
  if (gone !== undefined) return `names an owner of slots that is gone: ${gone.id}`;
  const own = entryOf([view], view.id);
  if (own?.masterId !== undefined && !isReachable(own.masterId)) return 'is a replica of a node that is gone';
  if (!view.isReplicating) return 'has no link to its master yet';
  return undefined;
}

/** What the view does not yet know, or has wrong, about a node that can be reached. */
function strangerOf(view: ClusterView, views: readonly ClusterView[]): string | undefined {
  for (const other of views) {
    const seen = view.entries.find(({ id }) => id === other.id);
    if (seen === undefined) return `does not know ${other.name}`;
    const flag = seen.flags.find((one) => ['handshake', 'noaddr', 'fail', 'fail?'].includes(one));
    if (flag !== undefined) return `marks ${other.name} as ${flag}`;
    if (other.id !== view.id && !seen.isLinked) return `has no link to ${other.name}`;
    if (seen.masterId !== entryOf([other], other.id)?.masterId) return `has the role of ${other.name} wrong`;
  }
  return undefined;
}

function ownersOf({ entries }: ClusterView): string {
  const owners = entries.filter(({ slots }) => slots.length > 0);
  return owners
    .map(({ id, slots }) => `${id}:${slots.map((range) => range.join('-')).join(',')}`)
    .sort()
    .join(' ');
}
