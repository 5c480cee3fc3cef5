import { ConservationViolatedError } from '../testing.errors.js';
import { describeViolations, type Violation } from './violation.js';

/**
 * Everything that was handed over, and what became of it. Ids are compared as a multiset: two documents with the same bytes may have the same
 * id, and then count twice on every side.
 */
export interface ConservationLedger {
  /** What is counted, in the plural: `documents`, `hand-offs`. For the message. */
  readonly what: string;
  /** Each thing whose admission was confirmed to its caller. */
  readonly admitted: Iterable<string>;
  /** The things by terminal state, as they were told or read back: `{ accepted: [...], discarded: [...], unknown: [] }`, empty ones too. */
  readonly ended: Readonly<Record<string, Iterable<string>>>;
  /**
   * What is not over, by where it is: `{ pending: [...], waiting: 3 }`. Ids where they are known; a number where only a count is reported, and
   * then as many things as that may be without a terminal state.
   */
  readonly open?: Readonly<Record<string, Iterable<string> | number>>;
  /** What was seen on the other side, by its name: `{ stored: {...} }`, `{ requests: {...} }`. */
  readonly effects?: Readonly<Record<string, Effect>>;
}

/** What happened elsewhere because of the things: documents stored, requests received, chunks read. */
export interface Effect {
  /** One id for each time that it was seen. */
  readonly seen: Iterable<string>;
  /** Terminal states that claim it: each thing in one of these was seen. Names of `ended`, here and below. */
  readonly requiredFor: readonly string[];
  /** Terminal states that deny it: a thing in one of these was never seen. States in neither list, and open things, may have been or not. */
  readonly forbiddenFor?: readonly string[];
  /** Ids that were said to be possible duplicates: they may be seen any number of times. Default: none. */
  readonly mayRepeat?: Iterable<string>;
}

/**
 * - `lost`: admitted, and neither over nor open · `never_admitted`: over, open or seen, and nobody handed it over
 * - `ended_twice`: more often over than admitted, in one state · `two_states`: the same, in several · `open_and_ended`: over, and still open
 * - `open_miscounted`: more is reported open than can be, or what is no count
 * - `not_seen`: a state claims an effect that was not seen · `seen_though_denied` · `repeated`: seen more often than it may be, and not flagged
 */
export type ConservationViolation = Violation<
  | 'lost'
  | 'never_admitted'
  | 'ended_twice'
  | 'two_states'
  | 'open_and_ended'
  | 'open_miscounted'
  | 'not_seen'
  | 'seen_though_denied'
  | 'repeated'
>;

/** A thing that was seen more often than it was handed over. */
export interface Repetition {
  readonly effect: string;
  readonly id: string;
  /** How often it was seen in all. */
  readonly times: number;
  readonly isFlagged: boolean;
}

export interface ConservationReport {
  readonly holds: boolean;
  readonly what: string;
  readonly admitted: number;
  readonly ended: Readonly<Record<string, number>>;
  readonly open: Readonly<Record<string, number>>;
  readonly seen: Readonly<Record<string, number>>;
  /** Flagged ones too: they are duplicates that were owned up to. */
  readonly repetitions: readonly Repetition[];
  readonly violations: readonly ConservationViolation[];
  /** The sums in one line, then the violations by kind, with at most ten ids of each. */
  readonly message: string;
}

/**
 * The one law of a hand-off: what was admitted is what has ended, in exactly one state each, plus what is reported open. And what the states say
 * about the other side is what the other side saw. Pure; finds every violation, not only the first.
 *
 * @throws RangeError when an effect names a state that `ended` has not: nothing would be checked by it.
 */
export function checkConservation(ledger: ConservationLedger): ConservationReport {
  const sums = new LedgerSums(ledger);
  const violations: ConservationViolation[] = [...sums.stateViolations(), ...sums.openViolations()];
  const repetitions: Repetition[] = [];
  const seen: Record<string, number> = {};
  for (const [name, effect] of Object.entries(ledger.effects ?? {})) {
    const { found, repeated, times } = sums.checkEffect(name, effect);
    violations.push(...found);
    repetitions.push(...repeated);
    seen[name] = times;
  }
  const { admitted, ended, open } = sums.totals();
  const line = `${ledger.what}: admitted ${admitted} = ${shown({ ...ended, ...open })}; seen: ${shown(seen)}`;
  const message = describeViolations(line, violations);
  return {
    holds: violations.length === 0,
    what: ledger.what,
    admitted,
    ended,
    open,
    seen,
    repetitions,
    violations,
    message,
  };
}

/** As `checkConservation()`. @throws ConservationViolatedError with every violation. */
export function assertConservation(ledger: ConservationLedger): ConservationReport {
  const report = checkConservation(ledger);
  if (!report.holds) throw new ConservationViolatedError(report.message, report.violations);
  return report;
}

type Multiset = ReadonlyMap<string, number>;

/** A ledger, counted by id. */
class LedgerSums {
  private readonly admitted: Multiset;
  private readonly ended: Readonly<Record<string, Multiset>>;
  private readonly listed: Readonly<Record<string, Multiset>>;
  private readonly counted: Readonly<Record<string, number>>;
  private readonly ids: ReadonlySet<string>;

  constructor(private readonly ledger: ConservationLedger) {
    this.admitted = multisetOf(ledger.admitted);
    this.ended = mapValues(ledger.ended, multisetOf);
    const open = Object.entries(ledger.open ?? {});
    this.listed = Object.fromEntries(open.flatMap(([at, ids]) => (isCount(ids) ? [] : [[at, multisetOf(ids)]])));
    this.counted = Object.fromEntries(open.flatMap(([at, count]) => (isCount(count) ? [[at, count]] : [])));
    const sides = [this.admitted, ...Object.values(this.ended), ...Object.values(this.listed)];
    this.ids = new Set(sides.flatMap((side) => [...side.keys()]));
  }

  totals() {
    const open = { ...mapValues(this.listed, total), ...this.counted };
    return { admitted: total(this.admitted), ended: mapValues(this.ended, total), open };
  }

  stateViolations(): ConservationViolation[] {
    return [...this.ids].flatMap((id): ConservationViolation[] => {
      const admitted = this.admitted.get(id) ?? 0;
      const states = statesOf(this.ended, id);
      const places = statesOf(this.listed, id);
      const ended = sumIn(this.ended, id);
      const known = ended + sumIn(this.listed, id);
      const where = [...states, ...places].join(' and ');
      if (admitted === 0) return [{ kind: 'never_admitted', id, detail: `${where}, and nobody handed it over` }];
      if (known <= admitted) return [];
      const often = `admitted ${times(admitted)}`;
      if (ended <= admitted) return [{ kind: 'open_and_ended', id, detail: `${where}, ${often}` }];
      if (states.length > 1) return [{ kind: 'two_states', id, detail: `${states.join(' and ')}, ${often}` }];
      return [{ kind: 'ended_twice', id, detail: `${where} ${times(ended)}, ${often}` }];
    });
  }

  /** Where only counts are known, nobody can tell which of the things without a state are the open ones: too few or too many is all there is. */
  openViolations(): ConservationViolation[] {
    const missing = [...this.admitted].flatMap(([id, admitted]) =>
      Array<string>(Math.max(0, admitted - sumIn(this.ended, id) - sumIn(this.listed, id))).fill(id),
    );
    const noCount = Object.entries(this.counted).find(([, count]) => !Number.isSafeInteger(count) || count < 0);
    if (noCount !== undefined) {
      const [at, count] = noCount;
      return [{ kind: 'open_miscounted', id: at, detail: `${count} reported open, which is no number of things` }];
    }
    const counted = Object.values(this.counted).reduce((sum, count) => sum + count, 0);
    if (missing.length < counted) {
      const detail = `${counted} reported open, and only ${missing.length} have not ended`;
      return [{ kind: 'open_miscounted', id: Object.keys(this.counted).join(' + '), detail }];
    }
    if (missing.length === counted) return [];
    const detail =
      counted === 0
        ? 'admitted, and neither over nor open'
        : `one of ${missing.length} that have not ended, of which only ${counted} are reported open`;
    return missing.map((id) => ({ kind: 'lost', id, detail }));
  }

  checkEffect(
    name: string,
    effect: Effect,
  ): { readonly found: ConservationViolation[]; readonly repeated: Repetition[]; readonly times: number } {
    const named = [...effect.requiredFor, ...(effect.forbiddenFor ?? [])];
    const stranger = named.find((state) => !Object.hasOwn(this.ended, state));
    if (stranger !== undefined)
      throw new RangeError(
        `The effect ${name} names the state ${stranger}, and ended has ${Object.keys(this.ended).join(', ') || 'none'}: name it there, with nothing in it where nothing is.`,
      );
    const seen = multisetOf(effect.seen);
    const flagged = new Set(effect.mayRepeat ?? []);
    const denied = effect.forbiddenFor ?? [];
    const found: ConservationViolation[] = [];
    const repeated: Repetition[] = [];
    for (const id of new Set([...this.ids, ...seen.keys()])) {
      const admitted = this.admitted.get(id) ?? 0;
      const count = seen.get(id) ?? 0;
      const required = this.sumOver(effect.requiredFor, id);
      const allowed = admitted - this.sumOver(denied, id);
      if (count < required)
        found.push({ kind: 'not_seen', id, detail: `${name} ${times(count)}, claimed ${times(required)}` });
      if (count <= Math.max(allowed, 0)) continue;
      const isFlagged = flagged.has(id);
      if (admitted === 0) found.push({ kind: 'never_admitted', id, detail: `${name}, and nobody handed it over` });
      else if (allowed <= 0) found.push({ kind: 'seen_though_denied', id, detail: this.denial(name, denied, id) });
      else {
        repeated.push({ effect: name, id, times: count, isFlagged });
        const detail = `${name} ${times(count)}, at most ${times(allowed)} expected, and not flagged`;
        if (!isFlagged) found.push({ kind: 'repeated', id, detail });
      }
    }
    return { found, repeated, times: total(seen) };
  }

  private denial(name: string, denied: readonly string[], id: string): string {
    return `${name}, although ${denied.filter((state) => this.ended[state]?.has(id)).join(' and ')}`;
  }

  private sumOver(states: readonly string[], id: string): number {
    return states.reduce((sum, state) => sum + (this.ended[state]?.get(id) ?? 0), 0);
  }
}

function multisetOf(ids: Iterable<string>): Multiset {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

function total(multiset: Multiset): number {
  let sum = 0;
  for (const count of multiset.values()) sum += count;
  return sum;
}

function isCount(open: Iterable<string> | number): open is number {
  return typeof open === 'number';
}

function statesOf(sides: Readonly<Record<string, Multiset>>, id: string): string[] {
  return Object.keys(sides).filter((name) => sides[name]?.has(id));
}

function sumIn(sides: Readonly<Record<string, Multiset>>, id: string): number {
  return Object.values(sides).reduce((sum, side) => sum + (side.get(id) ?? 0), 0);
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function shown(sums: Readonly<Record<string, number>>): string {
  return (
    Object.entries(sums)
      .map(([name, sum]) => `${name} ${sum}`)
      .join(' + ') || 'nothing'
  );
}
