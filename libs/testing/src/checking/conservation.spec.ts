import fc from 'fast-check';
import { assertConservation, checkConservation, type ConservationLedger } from './conservation.js';

const kinds = (ledger: ConservationLedger) => [
  ...new Set(checkConservation(ledger).violations.map(({ kind }) => kind)),
];

/** Documents as ingest knows them: what the calls were told, against what the server stored. */
function documents(changes: Partial<ConservationLedger> = {}, stored: readonly string[] = ['a', 'b', 'd', 'd']) {
  return {
    what: 'documents',
    admitted: ['a', 'b', 'c', 'd', 'e'],
    ended: { accepted: ['a', 'b', 'd'], discarded: ['c'], unknown: ['e'] },
    effects: {
      stored: { seen: stored, requiredFor: ['accepted'], forbiddenFor: ['discarded'], mayRepeat: ['d', 'e'] },
    },
    ...changes,
  };
}

describe('conservation that holds', () => {
  it('counts every state, and names duplicates that were owned up to', () => {
    const report = assertConservation(documents());
    expect(report).toMatchObject({
      admitted: 5,
      ended: { accepted: 3, discarded: 1, unknown: 1 },
      seen: { stored: 4 },
      repetitions: [{ effect: 'stored', id: 'd', times: 2, isFlagged: true }],
      violations: [],
    });
  });

  it.each([[['a', 'b', 'd']], [['a', 'b', 'd', 'e']], [['a', 'b', 'd', 'e', 'e']]])(
    'an unknown document may be stored or not, and again by its retry: %j',
    (stored) => expect(kinds(documents({}, stored))).toEqual([]),
  );

  it('takes identical documents for interchangeable', () => {
    const ledger = (stored: readonly string[]) =>
      documents({ admitted: ['x', 'x'], ended: { accepted: ['x'], discarded: ['x'] } }, stored);
    expect(kinds(ledger(['x']))).toEqual([]);
    expect(kinds(ledger([]))).toEqual(['not_seen']);
    expect(kinds(ledger(['x', 'x']))).toEqual(['repeated']);
  });

  it('adds what is reported open, by id or by count', () => {
    const handoffs = { what: 'hand-offs', admitted: ['1', '2', '3', '4', '5'], ended: { done: ['1'], dead: ['2'] } };
    expect(kinds({ ...handoffs, open: { pending: ['3', '4'], waiting: 1 } })).toEqual([]);
    expect(kinds({ ...handoffs, open: { pending: 2, waiting: 1 } })).toEqual([]);
    expect(checkConservation({ ...handoffs, open: { pending: 2, waiting: 1 } }).message).toBe(
      'hand-offs: admitted 5 = done 1 + dead 1 + pending 2 + waiting 1; seen: nothing: nothing is wrong.',
    );
  });
});

describe('conservation that does not hold', () => {
  it.each<[string, ConservationLedger]>([
    ['lost', documents({ ended: { accepted: ['a', 'b', 'd'], discarded: ['c'] } })],
    ['lost', documents({ admitted: ['a', 'b', 'c', 'd', 'e', 'f', 'g'], open: { buffered: 1 } })],
    ['never_admitted', documents({ admitted: ['a', 'b', 'c', 'd'] })],
    ['never_admitted', documents({}, ['a', 'b', 'd', 'stranger'])],
    ['never_admitted', documents({ open: { buffered: ['stranger'] } })],
    ['ended_twice', documents({ ended: { accepted: ['a', 'b', 'd'], discarded: ['c', 'c'], unknown: ['e'] } })],
    ['two_states', documents({ ended: { accepted: ['a', 'b', 'd'], discarded: ['c'], unknown: ['e', 'c'] } })],
    ['open_and_ended', documents({ open: { buffered: ['e'] } })],
    ['open_miscounted', documents({ open: { buffered: 1 } })],
    ['not_seen', documents({}, ['a', 'd'])],
    ['seen_though_denied', documents({}, ['a', 'b', 'c', 'd'])],
    ['repeated', documents({}, ['a', 'a', 'b', 'd'])],
  ])('%s (%#)', (kind, ledger) => expect(kinds(ledger)).toEqual([kind]));

  it('throws every violation, with the first ten ids of each kind and how many more there are', () => {
    const admitted = Array.from({ length: 25 }, (_, i) => `d${i}`);
    const ledger = { what: 'documents', admitted, ended: { accepted: ['x'] } };
    let thrown: unknown;
    try {
      assertConservation(ledger);
    } catch (error) {
      thrown = error;
    }
    const { violations, message } = checkConservation(ledger);
    expect(violations).toHaveLength(26);
    expect(thrown).toMatchObject({ code: 'CONSERVATION_VIOLATED', message, violations });
    expect(message).toContain('admitted 25 = accepted 1; seen: nothing: 26 violations');
    expect(message).toContain('  lost (25)\n    d0: admitted, and neither over nor open');
    expect(message).toContain('    d9: admitted, and neither over nor open\n    and 15 more');
    expect(message).toContain('    x: accepted, and nobody handed it over');
    expect(message).not.toContain('d10');
  });
});

describe('conservation, whatever the numbers', () => {
  const fate = fc.record({
    id: fc.integer({ min: 0, max: 30 }).map(String),
    at: fc.constantFrom('done', 'dead', 'pending'),
    isSeen: fc.boolean(),
  });
  type Fate = typeof fate extends fc.Arbitrary<infer T> ? T : never;
  const ledgerOf = (fates: readonly Fate[]) => ({
    what: 'hand-offs',
    admitted: fates.map(({ id }) => id),
    ended: {
      done: fates.filter(({ at }) => at === 'done').map(({ id }) => id),
      dead: fates.filter(({ at }) => at === 'dead').map(({ id }) => id),
    },
    open: { pending: fates.filter(({ at }) => at === 'pending').map(({ id }) => id) },
    effects: {
      ran: {
        seen: fates.filter(({ at, isSeen }) => at === 'done' || (at === 'pending' && isSeen)).map(({ id }) => id),
        requiredFor: ['done'],
        forbiddenFor: ['dead'],
      },
    },
  });

  it('accepts every honest ledger', () => {
    fc.assert(fc.property(fc.array(fate), (fates) => expect(kinds(ledgerOf(fates))).toEqual([])));
  });

  it('notices whichever one thing is taken out or put in, wherever', () => {
    const side = fc.constantFrom('admitted', 'done', 'dead', 'pending');
    fc.assert(
      fc.property(fc.array(fate, { minLength: 1 }), side, fc.nat(), fc.boolean(), (fates, where, nth, isAdded) => {
        const ledger = ledgerOf(fates);
        const list = { admitted: ledger.admitted, ...ledger.ended, ...ledger.open }[where] ?? [];
        fc.pre(list.length > 0);
        if (isAdded) list.push(list[nth % list.length]!);
        else list.splice(nth % list.length, 1);
        expect(checkConservation(ledger).holds).toBe(false);
      }),
    );
  });
});
