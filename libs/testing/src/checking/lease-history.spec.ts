import fc from 'fast-check';
import type { LeaseEvent } from './lease-event.js';
import { assertLeaseHistory, checkLeaseHistory, type LeaseHistoryRules } from './lease-history.js';

const LEASE_MS = 100;

const at = (from: number, to = from + 2) => ({ from, to });
const by = (owner: string, fence: number, line = 'run-1') => ({ line, owner, fence });
const acquired = (owner: string, fence: number, from: number): LeaseEvent => ({
  what: 'acquired',
  ...by(owner, fence),
  ...at(from),
  leaseMs: LEASE_MS,
});
const renewed = (owner: string, fence: number, from: number): LeaseEvent => ({
  what: 'renewed',
  ...by(owner, fence),
  ...at(from),
  leaseMs: LEASE_MS,
});
const ended = (owner: string, fence: number, from: number, isSettled = true): LeaseEvent => ({
  what: 'ended',
  ...by(owner, fence),
  ...at(from),
  isSettled,
});
const lost = (owner: string, fence: number, from: number): LeaseEvent => ({
  what: 'lost',
  ...by(owner, fence),
  ...at(from),
});
const raised = (owner: string, fence: number, from: number, raisedTo: number): LeaseEvent => ({
  what: 'raised',
  ...by(owner, fence),
  ...at(from),
  raisedTo,
});
const gone = (owner: string, from: number): LeaseEvent => ({ what: 'gone', owner, ...at(from) });
const failover: LeaseEvent = { what: 'failover', from: 40, to: 60 };

const kinds = (events: readonly LeaseEvent[], rules?: LeaseHistoryRules) =>
  checkLeaseHistory(events, rules).violations.map(({ kind }) => kind);

describe('a lease history that is sound', () => {
  it.each<[string, LeaseEvent[]]>([
    ['nothing', []],
    ['one after the other', [acquired('a', 1, 0), ended('a', 1, 50), acquired('b', 2, 60), ended('b', 2, 90)]],
    [
      'handed back, then taken by the same owner',
      [acquired('a', 1, 0), ended('a', 1, 50, false), acquired('a', 2, 60)],
    ],
    ['the owner fell silent, and its lease ran out', [acquired('a', 1, 0), acquired('b', 2, 100)]],
    ['it ran out after the last renewal', [acquired('a', 1, 0), renewed('a', 1, 50), acquired('b', 2, 150)]],
    ['the loss was noticed late', [acquired('a', 1, 0), acquired('b', 2, 100), lost('a', 1, 300)]],
    ['the loss was noticed at once', [acquired('a', 1, 0), lost('a', 1, 10), acquired('b', 2, 20)]],
    ['the owner was killed', [acquired('a', 1, 0), gone('a', 10), acquired('b', 2, 20)]],
    [
      'its name came back and was killed again',
      [acquired('a', 1, 0), gone('a', 10), acquired('a', 2, 20), gone('a', 30), acquired('b', 3, 40)],
    ],
    ['settled while the lease had just run out', [acquired('a', 1, 0), ended('a', 1, 130), acquired('b', 2, 140)]],
    [
      'two that asked at the same time, in either order',
      [acquired('b', 2, 1), ended('b', 2, 3), acquired('a', 1, 0), ended('a', 1, 1)],
    ],
    [
      'a raised fence',
      [
        acquired('a', 1, 0),
        { what: 'raised', ...by('a', 1), ...at(5), raisedTo: 9 },
        ended('a', 9, 10),
        acquired('b', 10, 20),
      ],
    ],
  ])('%s', (_title, events) => {
    expect(kinds(events)).toEqual([]);
    expect(kinds(events.toReversed())).toEqual([]);
  });

  it('tells what it has seen', () => {
    const events = [acquired('a', 1, 0), ended('a', 1, 50), { ...acquired('b', 2, 0), line: 'run-2' }, failover];
    expect(assertLeaseHistory(events as LeaseEvent[])).toMatchObject({
      lines: 2,
      grants: 2,
      settled: 1,
      failovers: 1,
      longestOverlapMs: 0,
    });
  });
});

describe('a lease history that is broken', () => {
  it.each<[string, LeaseEvent[]]>([
    ['two_owners', [acquired('a', 1, 0), acquired('b', 2, 50)]],
    ['two_owners', [acquired('a', 1, 0), renewed('a', 1, 90), acquired('b', 2, 110)]],
    ['two_owners', [acquired('a', 1, 0), acquired('a', 2, 50)]],
    ['two_owners', [acquired('a', 1, 0), acquired('b', 2, 120), renewed('a', 1, 130)]],
    ['fence_not_higher', [acquired('a', 2, 0), ended('a', 2, 50), acquired('b', 1, 60)]],
    [
      'fence_not_higher',
      [
        acquired('a', 1, 0),
        { what: 'raised', ...by('a', 1), ...at(5), raisedTo: 9 },
        ended('a', 9, 50),
        acquired('b', 5, 60),
      ],
    ],
    ['fence_granted_twice', [acquired('a', 1, 0), ended('a', 1, 50), acquired('b', 1, 60)]],
    ['fence_granted_twice', [acquired('a', 1, 0), ended('a', 1, 50), acquired('a', 1, 60)]],
    ['settled_by_lower_fence', [acquired('a', 1, 0), acquired('b', 2, 110), ended('a', 1, 120)]],
    ['settled_by_lower_fence', [acquired('a', 1, 0), acquired('b', 2, 110), ended('b', 2, 120), ended('a', 1, 130)]],
    ['settled_by_lower_fence', [acquired('a', 1, 0), raised('a', 1, 10, 9), ended('a', 1, 20)]],
    ['handed_back_by_lower_fence', [acquired('a', 1, 0), acquired('b', 2, 110), ended('a', 1, 120, false)]],
    ['two_owners', [acquired('a', 1, 0), gone('a', 10), acquired('a', 2, 20), acquired('b', 3, 50)]],
    ['after_its_end', [acquired('a', 1, 0), gone('a', 10), renewed('a', 1, 20)]],
    ['without_grant', [renewed('a', 1, 0)]],
    ['after_its_end', [acquired('a', 1, 0), ended('a', 1, 10), ended('a', 1, 20)]],
    ['after_its_end', [acquired('a', 1, 0), lost('a', 1, 10), renewed('a', 1, 20)]],
  ])('%s (%#)', (kind, events) => {
    expect(kinds(events)).toContain(kind);
    expect(kinds(events.toReversed())).toContain(kind);
  });

  it('says who, with which fence, for how long', () => {
    expect(() => assertLeaseHistory([acquired('a', 1, 0), acquired('b', 2, 50)])).toThrow(
      expect.objectContaining({
        code: 'LEASE_HISTORY_VIOLATED',
        message: expect.stringContaining('run-1: a (fence 1) and b (fence 2) both owned it for 48.0 ms'),
      }),
    );
  });
});

describe('a lease history with a failover', () => {
  const across = [acquired('a', 1, 0), failover, acquired('b', 2, 61)];

  it('may overlap as long as was promised, where the failover lies between the two grants', () => {
    expect(kinds(across, { allowedOverlapMs: LEASE_MS })).toEqual([]);
    expect(checkLeaseHistory(across, { allowedOverlapMs: LEASE_MS }).longestOverlapMs).toBe(37);
    expect(kinds(across)).toEqual(['two_owners']);
    expect(kinds(across, { allowedOverlapMs: 30 })).toEqual(['two_owners']);
  });

  it.each<[string, LeaseEvent]>([
    ['before both', { what: 'failover', from: -20, to: -10 }],
    ['after both', { what: 'failover', from: 70, to: 80 }],
    ['of another line', { what: 'failover', line: 'run-2', from: 40, to: 60 }],
  ])('may not when the failover was %s', (_title, event) => {
    expect(kinds([acquired('a', 1, 0), event, acquired('b', 2, 61)], { allowedOverlapMs: LEASE_MS })).toEqual([
      'two_owners',
    ]);
  });

  it('still lets the higher fence win', () => {
    const rules = { allowedOverlapMs: LEASE_MS };
    expect(kinds([...across, ended('a', 1, 65), ended('b', 2, 90)], rules)).toEqual([]);
    expect(kinds([...across, ended('b', 2, 65), ended('a', 1, 90)], rules)).toContain('settled_by_lower_fence');
    expect(kinds([...across, ended('a', 1, 170)], rules)).toContain('settled_by_lower_fence');
  });

  it('takes the fence that an owner raised its own to for the one that nobody may be behind', () => {
    const rules = { allowedOverlapMs: LEASE_MS };
    const behind = [acquired('a', 5, 0), failover, acquired('b', 3, 61), raised('b', 3, 70, 6)];
    expect(kinds([...behind, ended('a', 5, 80)], rules)).toEqual([]);
    expect(kinds([...behind, ended('a', 5, 180)], rules)).toEqual(['settled_by_lower_fence']);
    expect(kinds([...behind, ended('b', 6, 80), ended('a', 5, 90)], rules)).toEqual(['settled_by_lower_fence']);
  });

  it('may grant a lower fence, when the owner then raised its own', () => {
    const behind = [acquired('a', 5, 0), failover, lost('a', 5, 55), acquired('b', 3, 61)];
    expect(kinds(behind)).toEqual(['fence_not_higher']);
    expect(kinds([...behind, { what: 'raised', ...by('b', 3), ...at(70), raisedTo: 6 }])).toEqual([]);
  });
});

/** What one claim may come to, also where nobody keeps any promise. */
const claim = fc.record({
  owner: fc.constantFrom('a', 'b', 'c'),
  at: fc.nat(60),
  doubt: fc.nat(4),
  leaseMs: fc.integer({ min: 1, max: 30 }),
  renewedAfter: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 2 }),
  end: fc.option(
    fc.record({ after: fc.integer({ min: 1, max: 50 }), what: fc.constantFrom('lost', 'settled', 'handed back') }),
  ),
});

const claims = fc
  .uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 })
  .chain((fences) => fc.tuple(...fences.map((fence) => claim.map((one) => ({ ...one, fence })))));

type Claim = typeof claims extends fc.Arbitrary<readonly (infer T)[]> ? T : never;

function eventsOf({ owner, at: asked, doubt, leaseMs, renewedAfter, end, fence }: Claim): LeaseEvent[] {
  const held = (after: number) => ({ ...by(owner, fence), from: asked + after, to: asked + after + doubt });
  const last = end === null ? [] : [{ ...held(doubt + end.after), what: end.what }];
  return [
    { what: 'acquired', ...held(0), leaseMs },
    ...renewedAfter.map((after) => ({ what: 'renewed' as const, ...held(doubt + after), leaseMs })),
    ...last.map(({ what, ...rest }): LeaseEvent =>
      what === 'lost' ? { what, ...rest } : { what: 'ended', ...rest, isSettled: what === 'settled' },
    ),
  ];
}

/** What is wrong, moment by moment and pair by pair, with nothing of the checker's. */
function wrongWith(all: readonly Claim[]): Set<string> {
  const end = ({ at: asked, doubt, end: last }: Claim) => (last === null ? Infinity : asked + doubt + last.after);
  const owns = (one: Claim, moment: number): boolean =>
    moment >= one.at + one.doubt &&
    moment < end(one) &&
    [-one.doubt, ...one.renewedAfter].some((after) => moment < one.at + one.doubt + after + one.leaseMs);
  const found = new Set<string>();
  for (const one of all)
    for (const other of all) {
      if (one === other) continue;
      for (let moment = 0.5; moment < 200; moment++)
        if (owns(one, moment) && owns(other, moment)) found.add('two_owners');
      if (one.at + one.doubt < other.at && one.fence > other.fence) found.add('fence_not_higher');
      const isBehind = other.fence > one.fence && end(one) > other.at + other.doubt;
      if (!isBehind || one.end === null || one.end.what === 'lost') continue;
      found.add(one.end.what === 'settled' ? 'settled_by_lower_fence' : 'handed_back_by_lower_fence');
    }
  return found;
}

describe('the check of a lease history, beside one that looks at every moment', () => {
  it('finds the same, whatever the owners did', () => {
    fc.assert(
      fc.property(claims, (all) => {
        const found = kinds(all.flatMap(eventsOf), { clockToleranceMs: 0 });
        expect(new Set(found.filter((kind) => kind !== 'after_its_end'))).toEqual(wrongWith(all));
      }),
      { numRuns: 1_000 },
    );
  });
});

/** A server that grants one lease at a time, and owners that ask, renew, fall silent and settle; each event with the doubt of its two clocks. */
interface Turn {
  readonly owner: string;
  readonly renewals: number;
  readonly end: 'settled' | 'handed back' | 'silent' | 'lost';
  readonly doubt: number;
  readonly pause: number;
}

const turns = fc.array(
  fc.record<Turn>({
    owner: fc.constantFrom('a', 'b', 'c'),
    renewals: fc.nat(3),
    end: fc.constantFrom('settled', 'handed back', 'silent', 'lost'),
    doubt: fc.nat(20),
    pause: fc.nat(30),
  }),
  { minLength: 2, maxLength: 12 },
);

function historyOf(played: readonly Turn[]): LeaseEvent[] {
  let now = 0;
  let fence = 0;
  return played.flatMap(({ owner, renewals, end, doubt, pause }) => {
    // The server does it within the doubt, and its lease counts from then.
    const moment = () => ({ from: now, to: now + 2 * doubt });
    const held = () => ({ line: 'run-1', owner, fence });
    fence += 1 + pause;
    const events: LeaseEvent[] = [{ what: 'acquired', ...held(), ...moment(), leaseMs: LEASE_MS }];
    let expiresAt = now + doubt + LEASE_MS;
    for (let i = 0; i < renewals; i++) {
      now += 2 * doubt + pause;
      events.push({ what: 'renewed', ...held(), ...moment(), leaseMs: LEASE_MS });
      expiresAt = now + doubt + LEASE_MS;
    }
    now += 2 * doubt + pause;
    if (end === 'silent' || end === 'lost') {
      now = Math.max(now, expiresAt);
      if (end === 'lost') events.push({ what: 'lost', ...held(), ...moment() });
    } else {
      events.push({ what: 'ended', ...held(), ...moment(), isSettled: end === 'settled' });
      now += doubt;
    }
    return events;
  });
}

describe('any lease history', () => {
  const shuffledHistory = turns.chain((played) => {
    const events = historyOf(played);
    return fc.shuffledSubarray(events, { minLength: events.length, maxLength: events.length });
  });

  it('of a server that keeps its promise is sound, in whatever order its lines arrive', () => {
    fc.assert(
      fc.property(shuffledHistory, (events) => expect(checkLeaseHistory(events).message).toMatch(/nothing is wrong/)),
    );
  });

  const grantIn = (events: readonly LeaseEvent[], nth: number) => {
    const grants = events.filter((event) => event.what === 'acquired');
    return grants[nth % grants.length]!;
  };

  it('with a second owner in the middle of a claim is broken', () => {
    fc.assert(
      fc.property(shuffledHistory, fc.nat(), (events, nth) => {
        const { fence, to, leaseMs, from } = grantIn(events, nth);
        const until = Math.min(
          from + leaseMs,
          ...events.flatMap((e) => (e.what === 'ended' && e.fence === fence ? [e.from] : [])),
        );
        fc.pre(until - to > 5);
        const second: LeaseEvent = {
          what: 'acquired',
          line: 'run-1',
          owner: 'thief',
          fence: fence + 0.5,
          from: to,
          to,
          leaseMs,
        };
        expect(kinds([...events, second])).toContain('two_owners');
      }),
    );
  });

  it('in which a fence did not grow is broken', () => {
    fc.assert(
      fc.property(turns, fc.nat(), (played, nth) => {
        const events = historyOf(played);
        const fences = [...new Set(events.map((event) => ('fence' in event ? event.fence : 0)))];
        const [lower, higher] = [fences[nth % (fences.length - 1)]!, fences[(nth % (fences.length - 1)) + 1]!];
        const swapped = events.map((event) =>
          'fence' in event && (event.fence === lower || event.fence === higher)
            ? { ...event, fence: event.fence === lower ? higher : lower }
            : event,
        );
        const [first, second] = swapped.filter(
          (event) => event.what === 'acquired' && (event.fence === lower || event.fence === higher),
        );
        fc.pre(second!.from > first!.to + 1);
        expect(kinds(swapped)).toContain('fence_not_higher');
      }),
    );
  });

  it('in which an owner settled after a later one was granted is broken', () => {
    fc.assert(
      fc.property(turns, fc.nat(), (played, nth) => {
        const events = historyOf(played);
        const settles = events.filter((event) => event.what === 'ended' && event.isSettled);
        fc.pre(settles.length > 0);
        const settle = settles[nth % settles.length]!;
        const next = events.slice(events.indexOf(settle)).find(({ what }) => what === 'acquired');
        fc.pre(next !== undefined);
        const late = { ...settle, from: next.to + 5, to: next.to + 6 };
        expect(kinds(events.map((event) => (event === settle ? late : event)))).toContain('settled_by_lower_fence');
      }),
    );
  });
});
