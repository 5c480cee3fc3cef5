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

describe('a ledger that would prove nothing', () => {
  const ledger = { what: 'hand-offs', admitted: ['1'], ended: { done: ['1'] } };

  it.each(['requiredFor', 'forbiddenFor'])('is refused: a state in %s that no thing can be in', (list) => {
    const effect = { seen: [], requiredFor: [], [list]: ['finished'] };
    expect(() => checkConservation({ ...ledger, effects: { worked: effect } })).toThrow(
      /^The effect worked names the state finished, and ended has done: /,
    );
  });

  it.each([-1, NaN, 0.5, Infinity])('is refused: %d things that are open', (waiting) => {
    expect(kinds({ ...ledger, open: { waiting, pending: 1 } })).toEqual(['open_miscounted']);
    expect(kinds({ ...ledger, open: { waiting, pending: -waiting } })).toEqual(['open_miscounted']);
  });

  it('is none because its lists can be read only once', () => {
    const once = { ...ledger, effects: { worked: { seen: new Set(['1']).values(), requiredFor: ['done'] } } };
    expect(checkConservation(once)).toMatchObject({ holds: true, seen: { worked: 1 } });
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

/** Whether all that is known can be told as a story: each thing went to one place, and was seen as often as that place allows. */
function canBeTold({ admitted, ended, open, seen, flagged }: Evidence): boolean {
  const tellings = (things: readonly string[], left: Evidence): readonly (readonly [string, string][])[] => {
    const [id, ...rest] = things;
    const { done, dead, unknown } = left.ended;
    if (id === undefined) {
      const isAllUsed = [done, dead, unknown, left.open.pending].every((place) => place.length === 0);
      return isAllUsed && left.open.waiting === 0 ? [[]] : [];
    }
    const go = (place: string, next: Evidence) => tellings(rest, next).map((told) => [[id, place] as const, ...told]);
    const listed = (['done', 'dead', 'unknown'] as const).flatMap((state) =>
      ended[state].includes(id) && left.ended[state].includes(id)
        ? go(state, { ...left, ended: { ...left.ended, [state]: without(left.ended[state], id) } })
        : [],
    );
    const pending = left.open.pending.includes(id)
      ? go('pending', { ...left, open: { ...left.open, pending: without(left.open.pending, id) } })
      : [];
    const waiting =
      left.open.waiting > 0 ? go('waiting', { ...left, open: { ...left.open, waiting: left.open.waiting - 1 } }) : [];
    return [...listed, ...pending, ...waiting] as [string, string][][];
  };
  const isSeenRight = (told: readonly (readonly [string, string])[]): boolean =>
    [...new Set([...admitted, ...seen])].every((id) => {
      const places = told.filter(([one]) => one === id).map(([, place]) => place);
      const [least, most] = [
        places.filter((place) => place === 'done').length,
        places.filter((place) => place !== 'dead').length,
      ];
      const times = seen.filter((one) => one === id).length;
      return times >= least && (times <= most || (most > 0 && flagged.includes(id)));
    });
  return tellings(admitted, { admitted, ended, open, seen, flagged }).some(isSeenRight);
}

function without(list: readonly string[], id: string): string[] {
  return list.toSpliced(list.indexOf(id), 1);
}

interface Evidence {
  readonly admitted: string[];
  readonly ended: { readonly done: string[]; readonly dead: string[]; readonly unknown: string[] };
  readonly open: { readonly pending: string[]; readonly waiting: number };
  readonly seen: string[];
  readonly flagged: string[];
}

describe('conservation, beside a search for a story that explains it all', () => {
  const id = fc.constantFrom('a', 'b', 'c');
  const fate = fc.record({
    id,
    place: fc.constantFrom('done', 'dead', 'unknown', 'pending', 'waiting'),
    sightings: fc.nat(2),
  });
  const at = (fates: readonly { readonly id: string; readonly place: string }[], where: string) =>
    fates.filter(({ place }) => place === where).map((one) => one.id);
  /** Near the truth, so that about half of them hold. */
  const evidence = fc
    .record({
      fates: fc.array(fate, { maxLength: 5 }),
      strays: fc.record({
        admitted: fc.option(id),
        done: fc.option(id),
        pending: fc.option(id),
        waiting: fc.constantFrom(0, 0, 0, 1, -1),
      }),
      flagged: fc.uniqueArray(id),
      isHonest: fc.boolean(),
    })
    .map(({ fates, strays, flagged, isHonest }): Evidence => {
      const stray = (one: string | null) => (one === null || isHonest ? [] : [one]);
      const waiting = at(fates, 'waiting').length + (isHonest ? 0 : strays.waiting);
      return {
        admitted: [...fates.map((one) => one.id), ...stray(strays.admitted)],
        ended: {
          done: [...at(fates, 'done'), ...stray(strays.done)],
          dead: at(fates, 'dead'),
          unknown: at(fates, 'unknown'),
        },
        open: { pending: [...at(fates, 'pending'), ...stray(strays.pending)], waiting: Math.max(0, waiting) },
        seen: fates.flatMap(({ id: one, place, sightings }) =>
          Array<string>(isHonest && place === 'dead' ? 0 : isHonest && place === 'done' ? 1 : sightings).fill(one),
        ),
        flagged,
      };
    });

  it('holds exactly where there is one', () => {
    const told = { yes: 0, no: 0 };
    fc.assert(
      fc.property(evidence, (one) => {
        const isTold = canBeTold(one);
        told[isTold ? 'yes' : 'no']++;
        const { admitted, ended, open, seen, flagged } = one;
        const effect = { seen, requiredFor: ['done'], forbiddenFor: ['dead'], mayRepeat: flagged };
        const report = checkConservation({ what: 'things', admitted, ended, open, effects: { ran: effect } });
        expect([report.holds, report.message]).toEqual([isTold, report.message]);
      }),
      { numRuns: 1_000 },
    );
    expect(Math.min(told.yes, told.no)).toBeGreaterThan(100);
  });
});
