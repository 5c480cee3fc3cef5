import { conservation, type RunEvidence, type Victim } from './conservation.js';

const victim: Victim = {
  worker: 'a',
  runs: [
    { id: 'r1', indexedTo: 1, chunks: 2 },
    { id: 'r2', indexedTo: 0, chunks: 1 },
  ],
};

function evidence(id: string, changes: Partial<RunEvidence> = {}): RunEvidence {
  return {
    id,
    source: { name: id, lines: 3, sha256: 'x' },
    state: 'done',
    attempt: 2,
    worker: 'b',
    read: { sha256: 'x', chunks: 3, cuts: 1, status: 'done' },
    webhooks: [{ id: `msg_${id}`, isVerified: true, isAccepted: true }],
    documents: new Map([0, 1, 2].map((index) => [index, 1])),
    ...changes,
  };
}

const broken = (runs: readonly RunEvidence[]) =>
  conservation(runs, victim, 2)
    .filter(({ holds }) => !holds)
    .map(({ claim }) => claim);

describe('conservation', () => {
  it('holds when everything arrived, with duplicates inside a page open at the kill', () => {
    const documents = new Map([
      [0, 1],
      [1, 2],
      [2, 2],
    ]);
    expect(broken([evidence('r1', { documents }), evidence('r2'), evidence('r3', { attempt: 1 })])).toEqual([]);
  });

  it.each<[string, Partial<RunEvidence>]>([
    ['runs accepted = runs done', { state: 'running' }],
    ['bytes over SSE = source, by SHA-256', { read: { sha256: 'y', chunks: 3, cuts: 1, status: 'done' } }],
    ['streams that ended as done', { read: { sha256: 'x', chunks: 3, cuts: 1, status: 'error' } }],
    ['readers cut, and resumed', { read: { sha256: 'x', chunks: 3, cuts: 0, status: 'done' } }],
    ['webhooks all verified', { webhooks: [{ id: 'm', isVerified: false, isAccepted: true }] }],
    [
      'webhook ids stable over attempts',
      {
        webhooks: [
          { id: 'm', isVerified: true, isAccepted: true },
          { id: 'n', isVerified: true, isAccepted: true },
        ],
      },
    ],
    ['all unfinished runs of the victim on another worker, attempt >= 2', { worker: 'a' }],
    ['all unfinished runs of the victim on another worker, attempt >= 2', { attempt: 1 }],
  ])('does not hold: %s', (claim, change) => {
    expect(broken([evidence('r1', change), evidence('r2')])).toEqual([claim]);
  });

  it('does not hold when a webhook is missing, or was only ever refused', () => {
    const refused = [{ id: 'm', isVerified: true, isAccepted: false }];
    expect(broken([evidence('r1', { webhooks: refused }), evidence('r2')])).toEqual([
      'runs with their webhook accepted',
    ]);
    expect(broken([evidence('r1', { webhooks: [] }), evidence('r2')])).toContain('runs with their webhook accepted');
  });

  it('does not hold when a document is missing, or another one stands in its place', () => {
    const documents = new Map([
      [0, 1],
      [1, 1],
      [7, 1],
    ]);
    expect(broken([evidence('r1', { documents }), evidence('r2')])).toEqual([
      'distinct documents = lines, text for text',
    ]);
  });

  it('does not hold when a duplicate lies outside the page open at the kill, or is not the victim’s', () => {
    const documents = (index: number) => new Map([0, 1, 2].map((i) => [i, i === index ? 2 : 1]));
    const claim = 'duplicate documents outside pages open at the kill';
    expect(broken([evidence('r1', { documents: documents(0) }), evidence('r2')])).toEqual([claim]);
    expect(broken([evidence('r1'), evidence('r2'), evidence('r3', { documents: documents(1) })])).toEqual([claim]);
  });

  it('does not hold when the victim owned fewer than two unfinished runs', () => {
    const few = conservation([evidence('r1')], { worker: 'a', runs: [{ id: 'r1', indexedTo: 0, chunks: 1 }] }, 2);
    expect(few.filter(({ holds }) => !holds).map(({ claim }) => claim)).toEqual([
      'unfinished runs of the victim with chunks, at least 2',
    ]);
  });
});
