import {
  type ClusterView,
  entryOf,
  ownerOfSlot,
  parseClusterNodes,
  replicasOf,
  unsettledReason,
} from './cluster-view.js';

const LINES = {
  a: 'a 127.0.0.1:1@10001 master - 0 0 1 connected 0-8191',
  b: 'b 127.0.0.1:2@10002,host master - 0 0 2 connected 8192-16382 16383',
  r: 'r 127.0.0.1:3@10003 slave a 0 0 1 connected',
};

function view(id: keyof typeof LINES, change: Partial<ClusterView> & { readonly lines?: Partial<typeof LINES> } = {}) {
  const { lines, ...rest } = change;
  const text = Object.values({ ...LINES, ...lines }).join('\n');
  return { id, name: `node ${id}`, isOk: true, isReplicating: true, entries: parseClusterNodes(`${text}\n`), ...rest };
}

const settled = () => [view('a'), view('b'), view('r')];

describe('what the nodes of a cluster say', () => {
  it('is read line by line: owners, masters of replicas, and slots on the move left out', () => {
    expect(parseClusterNodes('a 127.0.0.1:1@10001 myself,master - 0 0 7 connected 0-9 12 [13->-b] [14-<-b]\n')).toEqual(
      [
        {
          id: 'a',
          flags: ['myself', 'master'],
          masterId: undefined,
          epoch: 7,
          isLinked: true,
          slots: [
            [0, 9],
            [12, 12],
          ],
        },
      ],
    );
    expect(entryOf(settled(), 'r')?.masterId).toBe('a');
    expect(replicasOf(settled(), 'a')).toEqual(['r']);
  });

  it('names the owner of a slot by the newest claim', () => {
    const promoted = view('r', { lines: { r: 'r 127.0.0.1:3@10003 master - 0 0 3 connected 0-8191' } });
    expect(ownerOfSlot([view('b'), promoted], 8191)).toBe('r');
    expect(ownerOfSlot([view('b')], 8191)).toBe('a');
    expect(ownerOfSlot([], 8191)).toBeUndefined();
  });
});

describe('a cluster', () => {
  it('is settled when all agree, the owners are there and the replicas follow', () => {
    expect(unsettledReason(settled())).toBeUndefined();
  });

  it('is settled without a replica that is gone', () => {
    expect(unsettledReason([view('a'), view('b')])).toBeUndefined();
  });

  it.each<[string, readonly ClusterView[], string]>([
    ['nobody answers', [], 'no node can be reached'],
    ['a node says so', [view('a'), view('b', { isOk: false }), view('r')], 'node b says cluster_state:fail'],
    ['an owner is gone', [view('b'), view('r')], 'node b names an owner of slots that is gone: a'],
    [
      'slots have no owner',
      [view('a', { lines: { b: 'b 127.0.0.1:2@10002 master - 0 0 2 connected 8192-16382' } }), view('b')],
      'node a knows owners for 16383 of 16384 slots',
    ],
    [
      'a replica does not follow yet',
      [view('a'), view('b'), view('r', { isReplicating: false })],
      'node r has no link to its master yet',
    ],
    [
      'one takes another for failing',
      [view('a', { lines: { b: LINES.b.replace('master', 'master,fail?') } }), view('b')],
      'node a marks node b as fail?',
    ],
    [
      'one has no link to another',
      [view('a', { lines: { b: LINES.b.replace('connected', 'disconnected') } }), view('b')],
      'node a has no link to node b',
    ],
    [
      'one has not heard of a new role',
      [view('a'), view('b'), view('r', { lines: { r: 'r 127.0.0.1:3@10003 master - 0 0 1 connected' } })],
      'node a has the role of node r wrong',
    ],
    [
      'two name different owners',
      [view('a', { lines: { a: LINES.a.replace('0-8191', '0-8190'), b: LINES.b.replace('8192', '8191') } }), view('b')],
      'node b and node a name different owners of slots',
    ],
    ['one does not know another', [view('a'), view('b'), { ...view('r'), id: 'x' }], 'node a does not know node r'],
  ])('is not settled when %s', (_what, views, reason) => {
    expect(unsettledReason(views)).toBe(reason);
  });
});
