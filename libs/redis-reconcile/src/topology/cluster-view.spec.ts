import {
  clusterInfoField,
  clusterView,
  evaluateSettled,
  ownerOfSlot,
  ownersIn,
  parseClusterNodes,
  slotOwnership,
} from './cluster-view.js';

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(40)) as [string, string, string, string];

interface Line {
  id: string;
  port?: number;
  flags?: string;
  master?: string;
  epoch?: number;
  slots?: string;
}

function nodes(lines: readonly Line[], myself = lines[0]?.id): string {
  return lines
    .map(({ id, port = 7000, flags = 'master', master = '-', epoch = 1, slots = '' }) =>
      `${id} 127.0.0.1:${port}@1${port},host-${port} ${id === myself ? 'myself,' : ''}${flags} ${master} 0 0 ${epoch} connected ${slots}`.trimEnd(),
    )
    .join('\n')
    .concat('\n');
}

const THREE: readonly Line[] = [
  { id: A, slots: '0-5460' },
  { id: B, slots: '5461-10922' },
  { id: C, slots: '10923-16383' },
];

const view = (lines: readonly Line[] = THREE, myself?: string, state = 'ok') =>
  clusterView(nodes(lines, myself), `cluster_state:${state}\r\ncluster_slots_assigned:16384\r\n`);

describe('ClusterInfoField', () => {
  it.each([
    ['cluster_state:ok\r\ncluster_size:3\r\n', 'cluster_state', 'ok'],
    ['cluster_state:ok\r\ncluster_size:3\r\n', 'cluster_size', '3'],
    ['# Server\nredis_mode:cluster\nx:a:b', 'x', 'a:b'],
    ['cluster_state:fail', 'cluster_state', 'fail'],
    ['cluster_state:ok', 'state', undefined],
    ['cluster_state_x:ok', 'cluster_state', undefined],
    ['', 'cluster_state', undefined],
  ])('in %j, %s is %s', (text, field, value) => {
    expect(clusterInfoField(text, field)).toBe(value);
  });
});

describe('what a node answers', () => {
  it('is read with all that may stand in a line', () => {
    const text = `${A} :7000@17000 myself,master - 0 0 4 connected 0-99 7 [93->-${B}] [94-<-${B}]\n${B} [::1]:7001@17001,name slave,fail? ${A} 1 2 0 disconnected\nrubbish\n`;
    expect(parseClusterNodes(text)).toEqual([
      {
        id: A,
        address: ':7000',
        isMyself: true,
        isMaster: true,
        isFailed: false,
        epoch: 4,
        slots: [
          [0, 99],
          [7, 7],
        ],
      },
      { id: B, address: '[::1]:7001', isMyself: false, isMaster: false, isFailed: false, epoch: 0, slots: [] },
    ]);
  });

  it('without its own line is no answer', () => {
    expect(() => clusterView(nodes(THREE, D), 'cluster_state:ok')).toThrow('without naming itself');
  });
});

describe('SlotOwnershipIgnoresEverythingButWhoOwnsWhichSlots', () => {
  const base = slotOwnership(view());

  it.each<[string, readonly Line[], string?]>([
    ['the order of lines', [...THREE].reverse(), A],
    ['who is asked', THREE, C],
    ['epochs', THREE.map((line) => ({ ...line, epoch: 9 }))],
    ['addresses', THREE.map((line) => ({ ...line, port: 9000 }))],
    ['replicas', [...THREE, { id: D, flags: 'slave', master: A }]],
    ['a replica that lists the slots of its master', [...THREE, { id: D, flags: 'slave', master: A, slots: '0-5460' }]],
    ['flags', THREE.map((line) => ({ ...line, flags: line.id === B ? 'master,fail?' : 'master' }))],
    ['masters without slots', [...THREE, { id: D }]],
    ['moves under way', [{ id: A, slots: `0-5460 [5460->-${B}]` }, ...THREE.slice(1)]],
    ['how ranges are cut', [{ id: A, slots: '100-5460 0-99' }, ...THREE.slice(1)]],
  ])('%s', (_what, lines, myself = lines[0]?.id) => {
    expect(slotOwnership(view(lines, myself))).toBe(base);
  });

  it.each<[string, readonly Line[]]>([
    ['a slot that moved', [{ id: A, slots: '0-5459' }, { id: B, slots: '5460-10922' }, ...THREE.slice(2)]],
    ['another owner of all of them', [{ id: D, slots: '0-5460' }, ...THREE.slice(1)]],
    ['slots without owner', THREE.slice(1)],
  ])('but not %s', (_what, lines) => {
    expect(slotOwnership(view(lines, lines[0]?.id))).not.toBe(base);
  });
});

describe('EvaluateSettled', () => {
  const moved: readonly Line[] = [{ id: A, slots: '0-5459' }, { id: B, slots: '5460-10922' }, ...THREE.slice(2)];

  it('all nodes agree: settled, and names the masters', () => {
    expect(evaluateSettled([view(), view(THREE, B), view(THREE, C)])).toEqual({
      isSettled: true,
      ownership: slotOwnership(view()),
      masters: [A, B, C],
    });
  });

  it('nodes that did not answer are left out: one answer is enough', () => {
    expect(evaluateSettled([view(THREE, C)])).toMatchObject({ isSettled: true });
  });

  it('one says that the state is not ok: not settled', () => {
    expect(evaluateSettled([view(), view(THREE, B, 'fail')])).toEqual({
      isSettled: false,
      reason: `node ${B} says that the cluster is not ok`,
    });
  });

  it('one does not say its state: not settled', () => {
    expect(evaluateSettled([view(), clusterView(nodes(THREE, B), 'ERR')])).toMatchObject({ isSettled: false });
  });

  it('one names another owner of a slot: not settled', () => {
    expect(evaluateSettled([view(), view(moved, B)])).toEqual({
      isSettled: false,
      reason: `nodes ${A} and ${B} name different owners of slots`,
    });
  });

  it('epochs, roles of replicas and moves under way may differ: settled', () => {
    const other = [
      { id: A, slots: `0-5460 [1->-${B}]`, epoch: 7 },
      ...THREE.slice(1),
      { id: D, flags: 'slave,fail', master: B },
    ];
    expect(evaluateSettled([view([...THREE, { id: D, flags: 'slave', master: A }]), view(other, B)])).toMatchObject({
      isSettled: true,
    });
  });

  it('nobody owns a slot, or nobody answered: not settled', () => {
    expect(evaluateSettled([view([{ id: A }])])).toEqual({ isSettled: false, reason: 'no slot has an owner' });
    expect(evaluateSettled([])).toEqual({ isSettled: false, reason: 'no node answered' });
  });
});

describe('the owner of a slot', () => {
  it('is whom the newest knowledge names', () => {
    const old = view([
      { id: A, slots: '0-16383', epoch: 1 },
      { id: D, flags: 'slave', master: A },
    ]);
    const current = view(
      [
        { id: A, flags: 'master,fail', epoch: 1 },
        { id: D, slots: '0-16383', epoch: 2 },
      ],
      D,
    );
    for (const views of [
      [old, current],
      [current, old],
    ])
      expect(ownerOfSlot(views, 12)).toBe(D);
    expect(ownerOfSlot([old], 12)).toBe(A);
    expect(ownersIn([old, current])).toEqual([A, D]);
  });

  it('may be nobody', () => {
    expect(ownerOfSlot([view(THREE.slice(0, 2))], 16_000)).toBeUndefined();
  });
});
